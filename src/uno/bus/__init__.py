"""Adapters of `ports.bus`: TCP, Cyclone DDS, RTI Connext DDS, and one in memory for tests."""
