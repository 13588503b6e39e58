"""Prints the table of one formula for cpu.weight: python3 weights.py linear|log > weights_FORMULA.txt

Independent of the product: 60 digits of mpmath for the logarithms, Python's whole numbers for the rest. A table is the
run lengths of equal weights: the n-th number says how many share values have the weight n, from 2 shares on. On stderr:
the least distance from a whole number that any inexact power has, which bounds what a floating-point error may do."""

import sys

from mpmath import mp, mpf, ceil, log, nint, power

mp.dps = 60
LEAST, MOST = 2, 262144


def linear(shares):
    return 1 + (shares - 2) * 9999 // 262142, None


def logarithmic(shares):
    if shares <= LEAST:
        return 1, None
    if shares >= MOST:
        return 10000, None
    l = log(mpf(shares), 2)
    value = power(10, (l * l + 125 * l) / 612 - mpf(7) / 34)
    distance = abs(value - nint(value))
    if distance < mpf(10) ** -40:
        return int(nint(value)), None
    return int(ceil(value)), distance


formula = {"linear": linear, "log": logarithmic}[sys.argv[1]]
runs, nearest = {}, (mpf(1), 0)
for shares in range(LEAST, MOST + 1):
    weight, distance = formula(shares)
    runs[weight] = runs.get(weight, 0) + 1
    if distance is not None:
        nearest = min(nearest, (distance, shares))
print(f"# How many share values, from {LEAST} to {MOST}, have the cpu.weight 1, 2, 3, ... by the {sys.argv[1]} formula.")
print("# Made by weights.py.")
numbers = [str(runs.get(weight, 0)) for weight in range(1, max(runs) + 1)]
for at in range(0, len(numbers), 36):
    print(" ".join(numbers[at:at + 36]))
if nearest[1]:
    print(f"nearest to a whole number: {mp.nstr(nearest[0], 5)} at {nearest[1]} shares", file=sys.stderr)
