"""A UVN's whole world on one machine, in network namespaces: for tests, the demo, and rehearsal.

    arrange       Uvn → WorldLayout: which nodes there are, how they are wired
    world         WorldLayout → World: namespaces that exist, faults that can be put into them
    cleanup       removes a World, whatever ends the program that made it
    node          one of its nodes: run a program in it, capture packets on its wires
    ping_matrix   pings from many namespaces at once; `transfer`, the same for TCP
    deploy        drives the product in a World through its own commands
    demo          all of it, with a table at the end

Everything that a lab makes carries its id: namespaces `uno-<id>-<node>`, and one directory. With
the id all of it can be removed, also when the process that made it was killed (`lab_state.remove`).
"""
