# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action backup_copy: runs the module and shows how far it is."""

from __future__ import annotations

from ansible_collections.tradeops.runbook.plugins.plugin_utils.progress_action import ProgressAction


class ActionModule(ProgressAction):
    """See ProgressAction."""
