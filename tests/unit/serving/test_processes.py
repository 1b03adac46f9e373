"""Who is surely gone."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

from serving.pool.processes import _token, is_gone, this_process

ME = this_process("shard-0", 3.0)


def test_this_process_is_not_gone() -> None:
    assert not is_gone(ME)


def test_an_ended_process_is_gone_and_a_stopped_one_is_not() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    other = dataclasses.replace(ME, process=_token(child.pid))
    assert not is_gone(other)
    child.send_signal(19)  # SIGSTOP
    assert not is_gone(other)
    child.kill()
    child.wait()
    assert is_gone(other)


def test_a_dead_process_that_nobody_waited_for_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    other = dataclasses.replace(ME, process=_token(child.pid))
    assert child.stdout is not None
    child.stdout.read()  # it ended, and stays a zombie until it is waited for
    for _ in range(1_000):
        if is_gone(other):
            break
    assert is_gone(other)
    child.wait()


def test_a_number_that_was_given_again_is_another_process() -> None:
    assert is_gone(dataclasses.replace(ME, process=ME.process + "1"))


def test_of_an_earlier_boot_all_are_gone() -> None:
    _, _, rest = ME.process.partition("/")
    assert is_gone(dataclasses.replace(ME, process=f"another-boot/{rest}"))


def test_of_other_machines_and_containers_nothing_is_known() -> None:
    boot, _, pid, start = ME.process.split("/")
    assert not is_gone(dataclasses.replace(ME, host="elsewhere"))
    assert not is_gone(dataclasses.replace(ME, process=f"{boot}/pid:[1]/{pid}/{start}9"))
    assert not is_gone(dataclasses.replace(ME, process=""))
