# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the checks that send requests or look at containers and monitoring, as parts of the documentation of checks."""

from __future__ import annotations

REQUESTS = r"""
      http:
        description:
          - One HTTP request. Measures C(status_code), C(latency) (s), C(size) (B) and what O(checks[].http.read) and O(checks[].http.metrics)
            name.
          - C(status_code) is critical from 300 on unless limits say otherwise. Redirects are followed on the same host only.
        type: dict
        suboptions:
          url: {description: Address (http or https) without name and password., type: str, required: true}
          method: {description: Request method., type: str, choices: [GET, HEAD], default: GET}
          read:
            description:
              - Name to JMESPath in a JSON answer, or C({path, unit, timezone}). The unit is C(s), C(B) or C(percent) for limits with units.
              - A point in time also measures C(<name>.age) (s), a list C(<name>.count), when limits ask for them. C(timezone) (IANA name)
                is for instants written without an offset.
            type: dict
            default: {}
          metrics:
            description:
              - Name to a metric on a page of text (the format of Prometheus, version 0.0.4), as in C(http_requests_total{code="500"}), or
                C({metric, unit, combine}). A sample must have these labels, and may have more.
              - There must be one such sample, unless C(combine) (C(sum), C(min), C(max)) makes one of them. Anything else is unknown, as is
                every metric of a page that cannot be read to its last line.
            type: dict
            default: {}
          expect_refused:
            description: The request must be refused with 401 or 403; anything else is critical.
            type: bool
            default: false
          headers: &headers {description: Header fields., type: dict, default: {}}
          secret_headers: &secret_headers {description: "Header fields with secrets, such as an API key or C(Authorization).", type: dict}
          max_bytes: &max_bytes {description: Largest answer to be read., type: int, default: 1048576}
          ca_path: &ca_path {description: File with the certificates of trusted authorities (PEM)., type: path}
          validate_certs: &validate_certs
            description: Verify the certificate. A check that does not says so in its notes.
            type: bool
            default: true
          container: &container
            description:
              - Name of a container of the local engine that is asked at its own address, so that it needs no published port. What the check
                says of the host, such as the header field C(Host) and the name in the certificate, stays as in the address given.
            type: str
          network: &network {description: Which network of the container; needed when it is in several., type: str, default: ''}
          timeout_seconds: &timeout {description: Seconds one measurement may take., type: float, default: 10.0}
      tcp:
        description: Connects to a port. Measures C(latency) (s).
        type: dict
        suboptions:
          host: {description: Name or address., type: str}
          port: {description: Port., type: int, required: true}
          container: {description: "Name of a container of the local engine, instead of a host. It needs no published port.", type: str}
          network: *network
          timeout_seconds: *timeout
"""

ENGINES = r"""
      container:
        description:
          - Containers of the local engine, which must be of version 20.10 or newer. Measures of several containers are those of the worst; for
            each container or service that is named there are all of them once more, as in C(api.memory_percent).
          - Names of containers, or C(none) - C(down) (not running, or started again by the engine less than a minute ago), C(missing),
            C(unhealthy), C(restarting), C(oom_killed) (also a child process, while the container runs on), C(without_memory_limit),
            C(without_cpu_limit), C(without_log_limit) (a log file that nothing bounds), C(drifted) (its tag now means another image on this
            host), C(wrong_image) (not the one of O(checks[].container.digests)).
          - Texts - C(state) (as the engine says, or C(missing)), C(health) (C(none) without a health check).
          - Numbers - C(count), C(running_count), C(missing_count), C(unhealthy_count), C(restarts), C(exit_code), C(uptime) (s, the
            shortest), C(memory) (B), C(memory_percent) (of its limit, unknown without one), C(pids), C(log_size) (B, with rotated files),
            and, when it has a limit, C(cpu_percent) of one processor over half a second.
          - What is down, unhealthy, or not of the image wanted is critical, C(oom_killed) is a warning. A project or label without any
            container is down. An engine that does not answer is critical, one that may not be asked is unknown.
        type: dict
        suboptions:
          names: {description: Exact names of containers. One that does not exist is missing., type: list, elements: str}
          project: {description: "Compose project. All its containers count, except those of C(docker compose run).", type: str}
          services:
            description:
              - Services of the project. Others do not count, and one without a container is missing. Name them where the project has jobs that
                end.
            type: list
            elements: str
          label: {description: "Label of containers, C(key) or C(key=value).", type: str}
          digests:
            description: Name or service to the digest of the image that it must run, C(sha256:...), of the repository or of the image itself.
            type: dict
            default: {}
          timeout_seconds: *timeout
      prometheus:
        description:
          - A query. Measures C(value) (of the only series), C(min) and C(max) (of all), C(series) (how many), C(latency) (s), what
            O(checks[].prometheus.expect) names, C(missing) (which of them, or C(none)), C(samples) (the fewest of a series), and C(age) (s,
            of the newest sample of the series that is the oldest).
          - An answer that is empty or has warnings is unknown, as is a value that is no number, too old, or of too few samples. Something
            missing is critical. Prometheus itself leaves out what is older than 5 minutes.
          - Without a query the server itself. Measures C(ready), C(targets), C(targets_down), C(down) (which, or C(none)), C(latency) (s). Not
            ready and without targets are critical, a target that is not up is a warning.
        type: dict
        suboptions:
          url: {description: "Address that the others of its API begin with, such as C(http://127.0.0.1:9090).", type: str, required: true}
          query: {description: A query in PromQL., type: str}
          range: {description: "Ask for this long until now, such as C(10 min), instead of the newest value.", type: str}
          step: {description: "Time between two samples of a range, C(30 s) by default.", type: str}
          min_samples: {description: Samples that every series of a range must have; half of what it holds by default., type: int}
          max_age: {description: "A value whose newest sample is older, as in C(2 min), is unknown.", type: str}
          source: {description: "Plain selector of the samples that are not to be old, where the query calculates.", type: str}
          expect:
            description: "Name to labels, as in C({api: {job: api}}). One series of the answer must have them; its value is measured by this name."
            type: dict
            default: {}
          unit: {description: "Unit of the values, C(s), C(B), C(percent), C(count) or C(number).", type: str, default: number}
          headers: *headers
          secret_headers: *secret_headers
          max_bytes: *max_bytes
          ca_path: *ca_path
          validate_certs: *validate_certs
          container: *container
          network: *network
          timeout_seconds: *timeout
      alertmanager:
        description:
          - Alerts. Those that neither a silence nor another alert keeps quiet are firing. Measures C(ready), C(firing), C(firing_<severity>),
            C(firing_other), C(alerts) (which, the oldest first, or C(none)), C(age) (s, the oldest, 0 without any), C(unacknowledged) (how
            many fire for long), C(silenced), C(inhibited), C(missing) (which expected ones do not come, or C(none)), C(latency) (s).
          - Not ready, C(firing_critical) and C(missing) are critical, any other alert is a warning.
        type: dict
        suboptions:
          url: {description: "Address that the others of its API begin with, such as C(http://127.0.0.1:9093).", type: str, required: true}
          filter:
            description: Matchers that alerts must fit, all of them, as in C(team="trading") or C(alertname!="Watchdog").
            type: list
            elements: str
            default: []
          severities:
            description: Values of the label C(severity) that are counted apart.
            type: list
            elements: str
            default: [critical, warning, info]
          older_than: {description: How long an alert may fire before it counts as C(unacknowledged)., type: str, default: 15 min}
          expect:
            description: Names of alerts that always come, such as C(Watchdog). They show that alerts arrive at all, and are not counted.
            type: list
            elements: str
            default: []
          headers: *headers
          secret_headers: *secret_headers
          max_bytes: *max_bytes
          ca_path: *ca_path
          validate_certs: *validate_certs
          container: *container
          network: *network
          timeout_seconds: *timeout
"""
