#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action notify."""

from __future__ import annotations

DOCUMENTATION = r"""
module: notify
short_description: Tells people what changed on the systems of this run
version_added: 0.1.0
description:
  - Holds what this run saw so far (checks, hosts that cannot be reached, steps that failed) against what people were told before, and sends what is
    news. Something that went wrong is C(opened), later C(worsened), a C(reminder) while it stays so, and C(resolved) once it was seen to be well.
  - What was skipped, muted or not looked at is neither bad nor well. A limit with C(for) is no news before it has lasted that long.
  - What belongs to one system, run and change is one message for each channel. What is over the rate of a channel becomes one message; severity
    C(P1) is never held back.
  - What was seen before another run told something newer of the same is no news.
  - Every message lies in C(outbox) in the folder of the history before the first try and until it was delivered, so that it arrives at least once,
    with the same key. What a channel does not take goes to the second channels of its route, and stays in the outbox for the next run.
  - It never fails a run because of a channel; RV(ignore:notified) and RV(ignore:waiting) tell.
  - Mail is sent by M(community.general.mail), everything else by M(ansible.builtin.uri), on the controller.
author:
  - tradeops.runbook contributors (@tradeops)
extends_documentation_fragment:
  - tradeops.runbook.history
options:
  run_id:
    description:
      - Id of the recorded run, given as C(lookup('tradeops.runbook.run', 'id')).
      - Of a run that is not recorded nobody is told anything, and RV(ignore:code) is C(run_not_recorded).
    type: str
    required: true
  policies:
    description: Channels and routes of hosts, as P(tradeops.runbook.notify_policies#filter) gives them. They hold secrets, which go nowhere else.
    type: list
    elements: dict
    default: []
  test:
    description: Send a test to every channel, too.
    type: bool
    default: false
  retry:
    description: Try at once whatever waits. Otherwise a channel that failed is left alone for a while, an hour at most.
    type: bool
    default: false
  budget_seconds:
    description: Seconds that all deliveries of this task may take. The rest waits for the next run.
    type: float
    default: 60
  expire:
    description: For how long a message is tried; then it is put into C(outbox/expired), and the result says so.
    type: str
    default: 3 d
  now:
    description: The present as seconds since 1970, for tests.
    type: float
attributes:
  check_mode:
    details: [Says what would be sent; nothing is sent or written.]
seealso:
  - plugin: tradeops.runbook.notify_policies
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Tell people what changed
  tradeops.runbook.notify:
    run_id: "{{ lookup('tradeops.runbook.run', 'id') }}"
    policies: "{{ hostvars | tradeops.runbook.notify_policies(ansible_play_hosts_all | intersect(groups['all'])) }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
notified:
  description: Everything that was to be told reached somebody.
  type: bool
  returned: always
summary:
  description: The same in one line, with what was sent and what waits.
  type: str
  returned: always
  sample: "notified: true; 1 message sent; 1 waiting, the first for pager: HTTP status 404"
wanted:
  description: There is a channel.
  type: bool
  returned: always
outcome:
  description: V(ok), V(warn) when a channel failed or cannot be used, or a message not be read, V(refused) when the run is not recorded.
  type: str
  returned: when there is a channel, and not in check mode
code:
  description: V(ok), V(not_delivered), V(held_back), V(channels_invalid), V(no_channels), V(run_not_recorded), V(busy),
    V(outbox_failed), V(defect), V(invalid_input).
  type: str
  returned: always
hint:
  description: What to do next.
  type: str
  returned: always
plan:
  description: What this run had to tell, at most 20 messages.
  type: list
  elements: dict
  returned: always
  sample: [{step: send, channel: pager, severity: P1, subject: "[P1] shop production: api answers on app is critical", reason: 1 thing opened}]
planned:
  description: How many messages that were.
  type: int
  returned: always
performed:
  description: What was delivered, in the same shape; empty in check mode.
  type: list
  elements: dict
  returned: always
sent:
  description: How many messages were delivered.
  type: int
  returned: always
waiting:
  description: What lies in the outbox, at most 20 messages, with the last error.
  type: list
  elements: dict
  returned: always
waiting_count:
  description: How many messages lie in the outbox.
  type: int
  returned: always
expired:
  description: What nobody took for so long that it was given up.
  type: list
  elements: dict
  returned: always
problems:
  description: What is wrong with channels and routes. The others are used all the same.
  type: list
  elements: str
  returned: always
notes:
  description: What may not be meant, such as a severity without a channel.
  type: list
  elements: str
  returned: always
records:
  description: What people are now told of, for the callback, so that a later run does not tell it again; empty in check mode.
  type: list
  elements: dict
  returned: always
"""
