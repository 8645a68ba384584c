"""A dashboard that does not start: Ray's own lines are kept from the user, one of ours is told."""

import logging
from pathlib import Path
from typing import Any

import pytest
from ray._private import ray_constants, services

from search.dashboard import PATIENCE_S, start_dashboard
from search.errors import StudyFailed


class Gone:
    """A process that has ended at once."""

    def poll(self) -> int:
        return 3


def begin(folder: Path) -> Any:
    """Return Ray's own start of a dashboard; the process and Ray's store are not there."""

    def start(*, include_dashboard: bool | None, raise_on_failure: bool) -> Any:
        services.start_api_server(
            include_dashboard,
            raise_on_failure,
            "127.0.0.1",
            "127.0.0.1:1",
            "",
            "127.0.0.1",
            str(folder),
            str(folder),
            str(folder),
            port=0,
        )

    return start


def test_what_ray_tells_of_a_dashboard_that_ended_is_one_line_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ray.experimental import internal_kv

    info = type("Info", (), {"process": Gone()})
    monkeypatch.setattr(services, "start_ray_process", lambda *_, **__: info)
    monkeypatch.setattr(services, "GcsClient", lambda **_: None)
    monkeypatch.setattr(internal_kv, "_initialize_internal_kv", lambda _: None)
    monkeypatch.setattr(internal_kv, "_internal_kv_get", lambda *_, **__: None)
    (tmp_path / "dashboard.log").write_text("first\nImportError: no such thing\n")
    asked = {"include_dashboard": None, "raise_on_failure": False}
    begin(tmp_path)(**asked)
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "Failed to start the dashboard , return code 3"
    assert any("ImportError: no such thing" in line for line in told)
    caplog.clear()
    with pytest.raises(StudyFailed) as failed:
        start_dashboard(begin(tmp_path), asked, str(tmp_path))
    assert str(failed.value) == f"it did not start; dashboard.log in {tmp_path} may say why"
    assert not caplog.records


def test_it_has_ten_minutes_and_others_have_rays_one(caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    def patient(**asked: Any) -> None:
        seen.append((ray_constants.RAY_DASHBOARD_STARTUP_TIMEOUT_S, asked))

    usual = ray_constants.RAY_DASHBOARD_STARTUP_TIMEOUT_S
    start_dashboard(patient, {"include_dashboard": True, "raise_on_failure": False}, "logs")
    assert seen == [(PATIENCE_S, {"include_dashboard": True, "raise_on_failure": True})]
    assert usual == ray_constants.RAY_DASHBOARD_STARTUP_TIMEOUT_S == 60
    logging.getLogger("ray._private.services").error("of another time")
    assert [record.getMessage() for record in caplog.records] == ["of another time"]
