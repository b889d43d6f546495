"""Settings: arguments before the environment before defaults, and every wrong one named."""

from __future__ import annotations

import pytest

from onnxport.errors import SettingsError
from onnxport.settings import SETTINGS, Settings, read_settings


def test_arguments_before_environment_before_defaults() -> None:
    environment = {"ONNXPORT_PORT": "9000", "ONNXPORT_MAX_ROWS": "5", "OTHER": "x"}
    settings = read_settings({"port": 9001, "host": None}, environment)
    assert (settings.port, settings.max_rows, settings.host) == (9001, 5, "127.0.0.1")
    assert read_settings({}, {}) == Settings()


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("On", True), ("no", False), ("off", False), ("", False)],
)
def test_switches_in_the_environment(text: str, value: bool) -> None:
    assert read_settings({}, {"ONNXPORT_INSECURE": text}).insecure is value


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ONNXPORT_PORT": "http"}, "ONNXPORT_PORT is 'http', and must be a whole number"),
        ({"ONNXPORT_PORT": "70000"}, "ONNXPORT_PORT is 70000, and must be a port from 0 to 65535"),
        ({"ONNXPORT_INSECURE": "maybe"}, "must be true or false"),
        ({"ONNXPORT_LOG_LEVEL": "loud"}, "ONNXPORT_LOG_LEVEL is 'loud', and must be one of"),
        ({"ONNXPORT_MAX_BODY": "0"}, "ONNXPORT_MAX_BODY is 0, and must be a positive"),
        (
            {"ONNXPORT_ROOT_PATH": "iris"},
            "ONNXPORT_ROOT_PATH is 'iris', and must be empty, or a path",
        ),
        ({"ONNXPORT_HOST": "[::1]"}, "ONNXPORT_HOST is '[::1]', and must be an address without br"),
        (
            {"ONNXPORT_LOGLEVEL": "info"},
            "ONNXPORT_LOGLEVEL is no setting; did you mean ONNXPORT_LOG_",
        ),
        ({"ONNXPORT_API_KEYS": "x"}, "did you mean ONNXPORT_API_KEY?"),
    ],
    ids=range(9),
)
def test_settings_that_are_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({}, environment)
    assert said in str(caught.value)


def test_an_option_is_named_as_it_was_given() -> None:
    with pytest.raises(SettingsError, match=r"^--port is 70000, and must be"):
        read_settings({"port": 70000}, {"ONNXPORT_PORT": "80"})
    with pytest.raises(SettingsError, match=r"^--log-level is 'loud', and must be one of"):
        read_settings({"log_level": "loud"}, {})


def test_variables_that_others_read_are_left_alone() -> None:
    others = ("API_KEY", "API_KEY_HASHES", "MODEL", "SERVICE_PORT", "SERVICE_HOST", "PORT_80_TCP")
    assert read_settings({}, {f"ONNXPORT_{name}": "x" for name in others}) == Settings()


def test_the_table_is_whole() -> None:
    assert [setting.name for setting in SETTINGS] == list(Settings.__slots__)
    for setting in SETTINGS:
        assert setting.help.endswith(".")
        assert setting.env == f"ONNXPORT_{setting.name.upper()}"
