import json
import logging
import secrets

import pytest
import structlog

from broker.logs import REDACTED, configure_logs, redacted


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_log_line_is_one_json_object_with_its_fields(capsys):
    configure_logs("info", "json")

    structlog.get_logger("broker.operations").info("Operation ended.", operation="o-1", state="succeeded")

    (line,) = lines(capsys)
    assert line["event"] == "Operation ended."
    assert (line["operation"], line["state"], line["level"]) == ("o-1", "succeeded", "info")
    assert line["timestamp"].endswith("Z")
    assert line["logger"] == "broker.operations"


def test_logs_of_the_standard_library_take_the_same_way(capsys):
    configure_logs("info", "json")

    logging.getLogger("uvicorn.error").warning("Shutting down after %s", "SIGTERM")

    (line,) = lines(capsys)
    assert (line["event"], line["logger"]) == ("Shutting down after SIGTERM", "uvicorn.error")


@pytest.mark.parametrize(
    "name",
    ["password", "admin_password", "credentials", "uri", "jdbcUrl", "parameters", "Authorization", "database_url",
     "client-secret", "sealing_keys", "X-Broker-API-Originating-Identity"],
)  # fmt: skip
def test_a_field_that_names_a_secret_is_not_shown(capsys, name):
    configure_logs("info", "json")
    secret = secrets.token_urlsafe(20)

    structlog.get_logger("t").info("Bound.", **{name: secret})
    structlog.get_logger("t").info("Bound.", outer=[{name: {"deep": secret}}])

    assert secret not in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["postgresql://app:{}@host/db", "sent Authorization: Bearer {}", "host=h password={} sslmode=verify-full",
     "host=h password='{}'", "Basic {}"],
)  # fmt: skip
def test_a_secret_inside_a_sentence_is_not_shown(capsys, text):
    configure_logs("info", "json")
    secret = secrets.token_urlsafe(20)

    logging.getLogger("driver").error("Failed: %s", text.format(secret))

    assert secret not in capsys.readouterr().err


def test_a_traceback_is_logged_whole_but_without_secrets(capsys):
    configure_logs("info", "json")
    secret = secrets.token_urlsafe(20)

    try:
        raise ValueError(f"cannot connect to postgresql://u:{secret}@h/d")
    except ValueError:
        structlog.get_logger("t").exception("An unforeseen failure.")

    (line,) = lines(capsys)
    assert "Traceback" in line["exception"]
    assert secret not in json.dumps(line)


def test_what_is_no_secret_is_left_alone():
    assert redacted({"instance": "i-1", "url_path": "/v2/catalog", "tokens_left": 3}) == {
        "instance": "i-1", "url_path": "/v2/catalog", "tokens_left": 3,
    }  # fmt: skip
    assert redacted({"password": "x"}) == {"password": REDACTED}


def test_text_is_for_people(capsys):
    configure_logs("info", "text")

    structlog.get_logger("t").info("Ready.", port=1)

    assert "Ready." in capsys.readouterr().err
