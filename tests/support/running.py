# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every server of a test has in common: it runs inside its context."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class Running(abc.ABC):
    """Started when its context is entered; removed at the end, also when it does not start."""

    @abc.abstractmethod
    def start(self) -> None:
        """Answers when this returns."""

    @abc.abstractmethod
    def remove(self) -> None:
        """Nothing is left."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.remove()
