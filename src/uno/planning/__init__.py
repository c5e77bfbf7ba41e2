"""Compiles a definition to a plan: topology, addresses, ports, import policy.

Pure and deterministic: the same definition and parent plan give the same plan, byte for byte, and
decisions of the parent are kept as long as the definition allows it. Keys, time and the execution
of a plan are outside of this package.
"""
