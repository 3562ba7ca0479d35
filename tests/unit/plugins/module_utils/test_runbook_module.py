# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No way out of a module shows a secret (S08, S09, E32, E34), and rejected arguments say where."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from ansible.module_utils import _internal, basic
from ansible.module_utils._internal import _traceback
from ansible.module_utils.common import warnings
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy
from ansible_collections.tradeops.runbook.plugins.module_utils._module.acting import act
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import KINDS
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule, run, secrets_of
from ansible_collections.tradeops.runbook.plugins.modules import health_check_info, preflight_info

SECRET = "pa/ss\"w'örd +1\\"
SPEC: dict[str, Any] = {
    "secret_token": {"type": "str", "no_log": True},
    "items": {"type": "list", "elements": "dict", "options": {"secret_headers": {"type": "dict", "no_log": True}, "name": {"type": "str"}}},
    "count": {"type": "int"},
}
ARGUMENTS = {"items": [{"name": "a", "secret_headers": {"X": SECRET}}]}
INTERNAL: dict[str, Any] = {"_ansible_verbosity": 4, "_ansible_debug": True, "_ansible_tracebacks_for": ["error", "warning", "deprecated"]}
if "inject_invocation" in PASS_VARS:  # before ansible-core 2.21 arguments are always shown
    INTERNAL["_ansible_inject_invocation"] = True


def written(secret: str) -> list[str]:
    """A secret as it tends to leave."""
    raw = secret.encode()
    forms = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1],
             raw.hex(), repr(secret)[1:-1], repr(raw)[2:-1]]  # fmt: skip
    forms += [encode(raw).decode().rstrip("=")[:-1] for encode in (base64.b64encode, base64.urlsafe_b64encode)]
    return [*forms, *(form.upper() for form in forms), *(form.lower() for form in forms)]


def everything(secret: str = SECRET) -> str:
    basic_header = base64.b64encode(f"user:{secret}".encode()).decode()
    return " | ".join(f"x{form}y" for form in [*written(secret), basic_header])


class Ran:
    """What a module left behind: its exit status, its result, and everything it wrote anywhere."""

    def __init__(self, status: int, printed: str, logged: list[str]) -> None:
        self.status = status
        self.result: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
        self.logged = "\n".join(logged)
        self.text = "\n".join([printed, json.dumps(self.result, ensure_ascii=False), *_texts(self.result), *logged])

    def assert_clean(self, secret: str = SECRET) -> None:
        for form in written(secret):
            assert form.lower() not in self.text.lower(), form
        assert base64.b64encode(f"user:{secret}".encode()).decode()[8:-4] not in self.text


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _texts(part)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else [str(value)]


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ran]]:
    """Runs a module's main with arguments, in this process."""
    logged: list[str] = []
    monkeypatch.setattr(basic, "has_journal", False)
    monkeypatch.setattr(basic.AnsibleModule, "_log_to_syslog", lambda self, message: logged.append(str(message)))
    monkeypatch.setattr(_internal, "is_controller", False)  # as on a managed node, whatever other tests have imported
    monkeypatch.setattr(_traceback, "_is_traceback_enabled", _traceback._is_module_traceback_enabled)
    monkeypatch.setattr(_traceback, "_module_tracebacks_enabled_events", None)
    for name in ("_global_warnings", "_global_deprecations"):
        monkeypatch.setattr(warnings, name, type(getattr(warnings, name))())

    def call(main: Callable[[], None], arguments: dict[str, Any]) -> Ran:
        with patch_module_args({**INTERNAL, **arguments}), pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ran(int(str(ended.value.code)), printed.out, [*logged, printed.err])

    yield call


def module_that(work: Callable[[RunbookModule], dict[str, Any]]) -> Callable[[], None]:
    def main() -> None:
        module = RunbookModule(SPEC, supports_check_mode=True)
        run(module, lambda: work(module))

    return main


def raising(error: Exception) -> Callable[[RunbookModule], dict[str, Any]]:
    def work(module: RunbookModule) -> dict[str, Any]:
        raise error

    return work


def test_results(ran: Any) -> None:
    answer = ran(module_that(lambda module: {"a": {everything(): [everything().encode(), (everything(),)]}, "fine": "text"}), ARGUMENTS)
    answer.assert_clean()
    assert (answer.status, answer.result["fine"]) == (0, "text")
    assert answer.result["invocation"]["module_args"]["items"][0]["secret_headers"] == {"X": "[redacted]"}


@pytest.mark.parametrize("make", [ValueError, KeyError, lambda text: Busy("locked", text), lambda text: Busy(text, "wait"), lambda text: OSError(5, text)])
def test_exceptions(make: Callable[[str], Exception], ran: Any) -> None:
    answer = ran(module_that(raising(make(everything()))), ARGUMENTS)
    answer.assert_clean()
    assert answer.status == 1 and answer.result["failed"] is True and "[redacted]" in answer.text


def test_known_errors_have_a_code_and_a_hint(ran: Any) -> None:
    answer = ran(module_that(raising(Busy("locked", "wait"))), ARGUMENTS)
    assert {key: answer.result[key] for key in ("msg", "code", "hint", "failed")} == {"msg": "locked", "code": "busy", "hint": "wait", "failed": True}
    assert "detail" not in answer.result and answer.result["invocation"]["module_args"]["items"][0]["name"] == "a"


def test_defects_show_where_they_are(ran: Any) -> None:
    answer = ran(module_that(raising(ValueError("odd"))), ARGUMENTS)
    assert (answer.result["msg"], answer.result["code"]) == ("ValueError: odd", "defect")
    assert "test_runbook_module.py" in answer.result["detail"]


@pytest.mark.parametrize("shift", range(0, 15, 2))
def test_a_cut_leaves_no_half_of_a_secret(shift: int, ran: Any) -> None:
    answer = ran(module_that(raising(ValueError(f"{SECRET}{'y' * (3984 + shift)}"))), ARGUMENTS)
    assert len(answer.result["detail"]) == 4000
    start = answer.result["detail"].replace("y", "")
    assert not any(SECRET.endswith(start.strip()[:size]) for size in range(4, len(SECRET)) if len(start.strip()) >= size)


@pytest.mark.parametrize("error", [ValueError(everything()), Busy(everything(), everything())])
def test_exceptions_of_acting_modules(error: Exception, ran: Any) -> None:
    def main() -> None:
        module = RunbookModule({**SPEC, "run_id": {"type": "str"}})
        act(module, lambda: raising(error)(module))

    answer = ran(main, {**ARGUMENTS, "run_id": "r"})
    answer.assert_clean()
    assert (answer.result["changed"], answer.result["plan"], answer.result["performed"]) == (False, [], [])
    assert answer.result["outcome"] == ("busy" if isinstance(error, Busy) else "unknown") and answer.result["hint"]


def test_a_chain_of_exceptions(ran: Any) -> None:
    def work(module: RunbookModule) -> dict[str, Any]:
        try:
            raise ValueError(everything())
        except ValueError as error:
            module.fail_json(msg="short", exception=error)
        return {}

    answer = ran(module_that(work), ARGUMENTS)
    answer.assert_clean()
    assert "ValueError" in json.dumps(answer.result["exception"]), "tracebacks were asked for"


@pytest.mark.parametrize("exception", [ValueError(everything()), f"Traceback of ValueError {everything()}"])
def test_an_exception_that_is_over(exception: Any, ran: Any) -> None:
    def main() -> None:
        RunbookModule(SPEC).fail_json(msg="short", exception=exception)

    answer = ran(main, ARGUMENTS)
    answer.assert_clean()
    assert answer.result["msg"].startswith("short") and "ValueError" in json.dumps(answer.result["exception"])


def test_warnings_deprecations_and_logs(ran: Any) -> None:
    def work(module: RunbookModule) -> dict[str, Any]:
        module.warn(everything())
        module.warn("plain warning")
        module.deprecate(everything(), version="9.9.9", collection_name="tradeops.runbook")
        module.log(everything())
        module.debug(everything())
        return {}

    answer = ran(module_that(work), ARGUMENTS)
    answer.assert_clean()
    assert "plain warning" in answer.text and "[debug]" in answer.logged
    assert len(answer.result["warnings"]) == 2 and len(answer.result["deprecations"]) == 1


def test_the_system_log_gets_no_nested_secret(ran: Any) -> None:
    answer = ran(module_that(lambda module: {}), ARGUMENTS)
    assert "Invoked with" in answer.logged
    answer.assert_clean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"itms": [{"secret_headers": {"X": SECRET}}]}, 'unknown key "itms"; did you mean "items"?'),
        ({"items": [{"name": "a", "secret_header": {"X": SECRET}}]}, 'items[0] (a) unknown key "secret_header"; did you mean "secret_headers"?'),
        ({"items": [{"name": "a", "secret_headers": SECRET}]}, "items[0] (a) argument 'secret_headers' is of type"),
        ({**ARGUMENTS, "count": "many"}, "argument 'count' is of type"),
        ({"secret_tokn": SECRET}, 'unknown key "secret_tokn"; did you mean "secret_token"?'),
        ({"items": 5}, "items must be a list of mappings"),
    ],
)
def test_rejected_arguments(arguments: dict[str, Any], message: str, ran: Any) -> None:
    answer = ran(module_that(lambda module: {}), arguments)
    answer.assert_clean()
    assert answer.status == 1 and answer.result["msg"].startswith(message)
    assert answer.result["errors"] and answer.result["invocation"] == {"module_args": {}}


def test_the_native_validator_breaks_and_we_do_not(ran: Any) -> None:
    answer = ran(health_check_info.main, {"checks": [{"name": "a", "host": {}, "mute": True, "poll": 5}]})
    assert answer.status == 1
    assert [error.split(" is of type")[0] for error in answer.result["errors"]] == ["checks[0] (a) argument 'mute'", "checks[0] (a) argument 'poll'"]


def test_passwords_in_addresses(ran: Any) -> None:
    answer = ran(health_check_info.main, {"checks": [{"name": "a", "http": {"url": "http://ann:hidden-word@127.0.0.1:1/"}}]})
    assert "hidden-word" not in answer.text and answer.result["checks"][0]["status"] == "unknown"


def test_a_driver_that_raises(ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KINDS["http"].driver(), "measure", lambda options, probe: raising(ValueError(everything()))(options))
    answer = ran(health_check_info.main, {"checks": [{"name": "a", "http": {"url": "http://h", "secret_headers": {"X": SECRET}}}]})
    answer.assert_clean()
    assert (answer.status, answer.result["checks"][0]["status"], answer.result["checks"][0]["code"]) == (0, "unknown", "defect")


@pytest.mark.parametrize("header", ["Bearer tok-12345678", "tok-12345678", "Basic dXNlcjp0b2stMTIzNDU2Nzg=", "  tok-12345678 "])
def test_an_application_that_echoes_what_it_was_sent(header: str, ran: Any) -> None:
    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"all": str(self.headers), "token": "tok-12345678", "b64": base64.b64encode(b"a tok-12345678").decode()}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        http = {"url": f"http://127.0.0.1:{server.server_port}/", "secret_headers": {"Authorization": header}, "read": {"x": "all", "y": "token", "z": "b64"}}
        answer = ran(health_check_info.main, {"checks": [{"name": "a", "http": http, "limits": {"y": {"critical": "> 5"}}}]})
        server.shutdown()
    answer.assert_clean("tok-12345678")
    assert answer.result["checks"][0]["measures"]["y"] == "[redacted]"


def test_a_header_that_cannot_be_sent(ran: Any) -> None:
    http = {"url": "http://127.0.0.1:1/", "secret_headers": {"X": "tok-1234\r\nEvil: 1"}}
    answer = ran(health_check_info.main, {"checks": [{"name": "a", "http": http}]})
    assert "tok-1234" not in answer.text and answer.result["checks"][0]["status"] in ("unknown", "critical")


def test_preflight_runs(ran: Any) -> None:
    assert ran(preflight_info.main, {"libraries": ["json"]}).result["status"] == "ok"
    assert ran(preflight_info.main, {"controller_time": "soon"}).result["code"] == "invalid_input"


def test_secrets_are_found_at_any_depth() -> None:
    value = {"secret_token": 12345, "items": [{"secret_headers": {"A": "one", "B": ["two", None]}}, "text", None], "count": 5}
    assert secrets_of(value, SPEC) == {"12345", "one", "two"}
    assert secrets_of("text", SPEC) == secrets_of(None, SPEC) == set()
