"""The probes that prove forwarding on this host, and the proof that its agent has, or a new one."""

from __future__ import annotations

import asyncio
import random

from uno import control
from uno.agent import service
from uno.agent.host_loop.forwarding_check import prove_once
from uno.diagnosis.service_status import ServiceStatus
from uno.diagnostics import UnoError
from uno.host.linux import LinuxHost
from uno.host.probe.forwarding_prober import LinuxForwardingProber
from uno.model.package import Package
from uno.ports.prober import ForwardingProber
from uno.reconcile.forwarding_proof import ForwardingProof


def forwarding_prober(package: Package) -> ForwardingProber:
    """Return what proves on this host that it forwards for the package's cell."""
    plan = package.plan
    return LinuxForwardingProber(plan.identity, plan.cell, random=random.SystemRandom())


def proof_now(host: LinuxHost, found: ServiceStatus) -> ForwardingProof:
    """Return what the agent has proved; without one, prove it now."""
    package = found.package
    path = control.socket_path(package.plan.identity, package.plan.cell)
    try:
        view = control.request_view(path)
    except UnoError:
        return asyncio.run(
            prove_once(forwarding_prober(package), service.proof_plan(host, package))
        )
    return service.proof_of_agent(view, known=found.obstacles)
