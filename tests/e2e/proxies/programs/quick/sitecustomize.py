"""Read by Python at its start: a program that only has to come up collects no garbage."""

import gc

gc.disable()
