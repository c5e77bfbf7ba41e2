"""Adapters of `ports.bus`: Cyclone DDS, RTI Connext DDS, and one in memory for tests."""
