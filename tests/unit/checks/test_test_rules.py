"""The rules of tests/conftest.py catch what they are for: each is shown a planted fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.skips import ALLOWED_FILE, is_allowed, parse_allowed

ROOT = Path(__file__).parents[3]

SKIP_CONFTEST = """
from tests.skips import SkipGuard
def pytest_configure(config):
    config.pluginmanager.register(SkipGuard(("test_listed.py::test_it",)))
"""
LEAK_CONFTEST = "from tests.conftest import *\ndef pytest_configure(config): pass\n"
QUICK = "import tests.leaks\ntests.leaks.PATIENCE = 0.2\n"


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """An empty suite that can import these checks."""
    pytester.makeini(
        f"[pytest]\npythonpath = {ROOT}\nasyncio_mode = auto\n"
        "asyncio_default_fixture_loop_scope = function"
    )
    return pytester


def run(suite: pytest.Pytester) -> pytest.RunResult:
    return suite.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")


def test_an_unlisted_skip_of_any_kind_fails_the_run(suite: pytest.Pytester) -> None:
    suite.makeconftest(SKIP_CONFTEST)
    suite.makepyfile(
        test_kinds="""
        import pytest
        @pytest.mark.skip(reason="lazy")
        def test_marked(): ...
        def test_called():
            pytest.skip("later")
        @pytest.mark.xfail(reason="known", strict=False)
        def test_expected(): assert False
        def test_honest(): ...
        """
    )
    result = run(suite)
    result.assert_outcomes(passed=1, failed=2, errors=1)
    result.stdout.fnmatch_lines(["*test_called was skipped (later)*allowed_skips.txt*"])
    assert result.ret != 0


def test_a_file_that_skips_itself_fails_the_run(suite: pytest.Pytester) -> None:
    suite.makeconftest(SKIP_CONFTEST)
    suite.makepyfile(
        test_whole="import pytest\npytest.skip('no tool', allow_module_level=True)\ndef test(): ..."
    )
    result = run(suite)
    result.assert_outcomes(errors=1)
    assert result.ret != 0


def test_a_listed_skip_stays_a_skip(suite: pytest.Pytester) -> None:
    suite.makeconftest(SKIP_CONFTEST)
    suite.makepyfile(test_listed="import pytest\ndef test_it():\n    pytest.skip('has a reason')")
    result = run(suite)
    result.assert_outcomes(skipped=1)
    assert result.ret == 0


def test_leaked_threads_tasks_and_processes_fail_their_tests(suite: pytest.Pytester) -> None:
    suite.makeconftest(LEAK_CONFTEST + QUICK)
    suite.makepyfile(
        test_leaks="""
        import asyncio, subprocess, sys, threading
        gate = threading.Event()
        kept = []
        def test_thread():
            threading.Thread(target=gate.wait, args=(20,), name="stray", daemon=True).start()
        def test_process():
            kept.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        async def test_task():
            kept.append(asyncio.create_task(asyncio.sleep(20), name="stray-task"))
        async def test_clean():
            await asyncio.get_running_loop().create_task(asyncio.sleep(0))
        """
    )
    result = run(suite)
    result.assert_outcomes(passed=4, errors=3)
    result.stdout.fnmatch_lines(["*left running: thread stray"])
    result.stdout.fnmatch_lines(["*left running: process *input()*"])
    result.stdout.fnmatch_lines(["*left running: task stray-task*"])


def test_an_entry_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match=r"line 2: tests/a\.py has no reason"):
        parse_allowed("# heading\ntests/a.py\n")


@pytest.mark.parametrize(
    ("node_id", "allowed"),
    [
        ("tests/a/test_b.py::test_c", True),
        ("tests/a/test_b.py::test_c[1]", True),
        ("tests/a/test_b.py::test_cc", False),
        ("tests/folder/test_x.py::test_y", True),
        ("tests/folders/test_x.py::test_y", False),
    ],
)
def test_an_entry_names_a_test_a_file_or_a_folder(node_id: str, allowed: bool) -> None:
    assert is_allowed(node_id, ("tests/a/test_b.py::test_c", "tests/folder")) is allowed


def test_the_list_itself_is_readable() -> None:
    parse_allowed(ALLOWED_FILE.read_text())


def test_settings_of_the_caller_do_not_reach_tests(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELECTRONS_HTTP", "0.0.0.0:1")
    suite.makeconftest("from tests.conftest import *")
    suite.makepyfile("import os\ndef test_it(): assert 'ELECTRONS_HTTP' not in os.environ")
    run(suite).assert_outcomes(passed=1)
