"""Load and fault tests of the real process (RELIABILITY.md section 4, L01 to L34).

`python -m tests.system.faults [NAMES] [--long]` runs them and prints each one's figures
beside its goals. `test_faults.py` runs the shortest versions of the most important ones.

    load client (asyncio, here) -> proxy (twistd, a process) -> origins (processes)
                                |                            |
                                +------ FaultRelay ----------+   where wanted
"""
