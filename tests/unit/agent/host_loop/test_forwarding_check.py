"""When a cell proves that it forwards, with a prober whose answers the test gives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Interface
from typing import Any

import pytest

from forwarding_answers import ForwardingAnswers, of_the_cell
from packages import HOME, HUB, LAN, REMOTE, package_of, with_metered
from uno.agent.host_loop.forwarding_check import ForwardingCheck, prove, prove_once
from uno.model.package import Package
from uno.ports.host import Facts, Nic
from uno.reconcile.forwarding_proof import ForwardingProof, ProofPlan, proof_plan
from uno.reconcile.lans import attached

NIC = Nic(name="eth1", addresses=(IPv4Interface("192.168.2.1/24"),))


async def run_here(call: Callable[..., Any], *arguments: Any) -> Any:
    return call(*arguments)


def working(package: Package) -> frozenset[str]:
    return frozenset(link.interface for link in package.plan.links)


def planned(*answering: int) -> ProofPlan:
    return plan_of(package_of(HOME), Facts(nics=(NIC,)), *answering)


def plan_of(package: Package, facts: Facts, *answering: int) -> ProofPlan:
    lans = attached(package.own.lans, facts.nics)
    return proof_plan(
        package, lans=lans, facts=facts, working=working(package), answering=answering
    )


def check_of(
    prober: ForwardingAnswers,
    proved: Callable[[bool], None] = lambda _: None,
    *,
    plan: ProofPlan | None = None,
    retry_after: float = 0.01,
    now: Callable[[], float] = time.monotonic,
) -> ForwardingCheck:
    return ForwardingCheck(
        prober,
        plan=lambda: plan or planned(),
        run_blocking=run_here,
        proved=lambda *, is_changed: proved(is_changed),
        now=now,
        retry_after=retry_after,
    )


def proved(prober: ForwardingAnswers, plan: ProofPlan | None = None) -> ForwardingProof:
    return asyncio.run(prove_once(prober, plan or planned()))


@pytest.mark.feature("G52")
def test_a_proof_is_what_the_answers_show() -> None:
    prober = ForwardingAnswers()

    assert proved(prober).forwards == {REMOTE: True}
    assert (prober.rounds, prober.interfaces, prober.closed) == (1, ("eth1",), True)

    prober.answers = of_the_cell
    assert proved(prober).forwards == {REMOTE: False}


@pytest.mark.feature("G52")
def test_what_failed_is_probed_again_if_something_for_it_was_removed_meanwhile() -> None:
    prober = ForwardingAnswers()
    prober.answers = of_the_cell

    assert proved(prober).forwards == {REMOTE: False}
    assert prober.rounds == 2

    prober.missing = [True, True]
    prober.answers = lambda each: prober.rounds == 5 or of_the_cell(each)
    assert proved(prober).forwards == {REMOTE: True}
    assert prober.rounds == 5


@pytest.mark.feature("G52")
def test_a_host_that_permits_no_probes_proves_nothing_and_says_why() -> None:
    prober = ForwardingAnswers()
    prober.refuses = "this host gives no /dev/net/tun"

    found = proved(prober)

    assert found == ForwardingProof(unproved="this host gives no /dev/net/tun")
    assert found.is_good


def test_a_cell_without_lans_proves_nothing() -> None:
    found = asyncio.run(prove(ForwardingAnswers(), ProofPlan(), run_blocking=run_here))

    assert found == ForwardingProof()


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await scene()

    asyncio.run(limited())


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)


@pytest.mark.feature("G52")
def test_a_change_of_the_proof_is_reported_and_a_failure_is_probed_again_and_again() -> None:
    async def scene() -> None:
        prober, reports = ForwardingAnswers(), []
        check = check_of(
            prober, lambda is_changed: reports.extend([check.proof.forwards] * is_changed)
        )
        job = asyncio.ensure_future(check.run())

        check.request()
        await until(lambda: reports == [{REMOTE: True}])
        assert prober.rounds == 1

        prober.answers = of_the_cell
        check.request()
        await until(lambda: reports[1:] == [{REMOTE: False}])
        prober.answers = lambda _: True
        await until(lambda: reports[2:] == [{REMOTE: True}])

        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        check.close()
        assert prober.closed

    play(scene)


@pytest.mark.feature("G57")
def test_what_was_proved_lately_is_not_proved_again_without_a_change() -> None:
    async def scene() -> None:
        prober, now = ForwardingAnswers(), 1000.0
        check = check_of(prober, now=lambda: now)
        job = asyncio.ensure_future(check.run())

        check.request_after(300)
        await until(lambda: prober.rounds == 1)
        now += 299
        check.request_after(300)
        await asyncio.sleep(0.01)
        assert prober.rounds == 1
        now += 1
        check.request_after(300)
        await until(lambda: prober.rounds == 2)
        check.request_after(0)
        await until(lambda: prober.rounds == 3)

        job.cancel()
        await asyncio.gather(job, return_exceptions=True)

    play(scene)


@pytest.mark.feature("G57")
def test_metered_links_are_probed_after_changes_and_failures_and_else_seldom() -> None:
    async def scene() -> None:
        prober, now = ForwardingAnswers(), 1000.0
        lan = Nic(name="lan", addresses=(IPv4Interface("192.168.1.1/24"),))
        plan = plan_of(with_metered(package_of(HUB), HOME), Facts(nics=(lan,)), HOME)
        check = check_of(prober, plan=plan, now=lambda: now)
        job = asyncio.ensure_future(check.run())
        check.request()
        await until(lambda: prober.sent == [plan.forwarded])

        now += 300
        check.request_after(300, metered_after=7200)
        await until(lambda: prober.sent[1:] == [plan.without_metered.forwarded])
        now += 6900
        check.request_after(300, metered_after=7200)
        await until(lambda: prober.sent[2:] == [plan.forwarded])

        # What has failed through the metered link is not forgotten in between.
        prober.answers = lambda each: each not in plan.forwarded - plan.without_metered.forwarded
        check.request()
        await until(lambda: len(check.proof.narrow) + len(check.proof.obstacles) > 0)
        now += 300
        check.request_after(300, metered_after=7200)
        rounds = prober.rounds
        await until(lambda: prober.rounds > rounds + 2)
        assert all(plan.without_metered.forwarded != each for each in prober.sent[3:])

        job.cancel()
        await asyncio.gather(job, return_exceptions=True)

    play(scene)


@pytest.mark.feature("G52")
def test_a_lan_of_another_cell_is_unreached_only_after_two_probes_in_a_row() -> None:
    async def scene() -> None:
        prober, plan = ForwardingAnswers(), planned(HUB)
        into_lan = plan.remote[LAN]
        prober.answers = lambda each: each != into_lan
        check = check_of(prober, plan=plan)

        await check.prove()
        assert check.proof.unreached == frozenset()
        await check.prove()
        assert check.proof.unreached == {LAN}

        prober.answers = lambda _: True
        await check.prove()
        assert check.proof.unreached == frozenset()

    play(scene)


def test_without_a_prober_nothing_is_proved() -> None:
    async def scene() -> None:
        check = ForwardingCheck(
            None,
            plan=planned,
            run_blocking=run_here,
            proved=lambda *, is_changed: None,  # noqa: ARG005
            now=time.monotonic,
            retry_after=1,
        )
        await check.prove()
        check.close()

        assert (check.proof, check.settled_at) == (ForwardingProof(), None)

    play(scene)


@pytest.mark.feature("G52")
def test_a_tunnel_that_comes_up_between_two_probes_is_no_failure() -> None:
    prober = ForwardingAnswers()
    prober.answers = lambda _: prober.rounds == 2

    assert proved(prober).forwards == {REMOTE: True}


@pytest.mark.feature("G52")
def test_a_proof_is_settled_unless_neighbours_answer_nothing() -> None:
    async def scene() -> None:
        prober = ForwardingAnswers()
        check = check_of(prober)
        began = time.monotonic()

        await check.prove()
        assert check.settled_at is not None
        assert check.settled_at >= began
        shown = check.forwarded
        assert shown == {lan for lan, does in check.proof.forwards.items() if does}
        assert shown
        prober.answers = lambda _: False
        await check.prove()
        assert check.settled_at is None
        # What shows nothing disproves nothing: a change is still judged by what was proved before.
        assert (check.proof.forwards, check.forwarded) == ({}, shown)
        prober.refuses = "no /dev/net/tun"
        await check.prove()
        assert check.settled_at is not None

        nothing = check_of(ForwardingAnswers(), plan=ProofPlan())
        await nothing.prove()
        assert nothing.settled_at is not None
        no_link = check_of(ForwardingAnswers(), plan=ProofPlan(is_complete=False))
        await no_link.prove()
        assert no_link.settled_at is None

    play(scene)


@pytest.mark.feature("G52")
def test_a_lan_that_is_disproved_is_forwarded_no_more_until_it_is_proved_again() -> None:
    async def scene() -> None:
        prober = ForwardingAnswers()
        check = check_of(prober)
        await check.prove()
        shown = check.forwarded
        prober.answers = lambda each: each.interface is None
        await check.prove()
        assert not check.forwarded & shown
        prober.answers = lambda _: True
        await check.prove()
        assert check.forwarded == shown

    play(scene)
