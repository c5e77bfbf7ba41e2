"""What the owner declared becomes every decision: topology, addresses, ports, who may say what.

Pure and deterministic: the same definition and parent plan give the same plan, byte for byte, and
whatever the parent decided stays as long as the definition allows it. Nothing here draws a key,
reads a clock or knows how a decision is carried out.
"""
