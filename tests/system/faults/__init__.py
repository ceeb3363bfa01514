"""Load and fault tests of the real process.

Each scenario has a number that stays its name, such as L01; what it is stands beside it, in
the code and in what is printed.

`python -m tests.system.faults [NAMES] [--brief | --long]` runs them and prints each one's figures
beside its goals. `test_faults.py` runs them all in their shortest versions.

    load client (asyncio, here) -> proxy (twistd, a process) -> origins (processes)
                                |                            |
                                +------ FaultRelay ----------+   where wanted
"""
