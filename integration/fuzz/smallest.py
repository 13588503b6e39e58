"""Picks the inputs of a corpus that reach the most: smallest.py CONTROL FOLDER.

CONTROL is the file in which libFuzzer's merge has noted what each input reaches (FT lines). One after the other the input
is taken that adds most to what is reached already, until nothing is left or there are enough: what the last few would
add, the fuzzer finds again in seconds, and a repository isn't the place for thousands of files.
"""

import shutil
import sys

MOST = 120

control, folder = sys.argv[1:]
with open(control, encoding="utf-8") as opened:
    lines = opened.read().split("\n")
# how many inputs there are, how many of them come first, and their names
count = int(lines[0])
names, notes = lines[2 : 2 + count], lines[2 + count :]
words = [line.split() for line in notes]
reached = {int(word[1]): set(word[2:]) for word in words if word[:1] == ["FT"]}
left = set().union(*reached.values())
whole, taken = len(left), 0
while left and taken < MOST:
    best = max(reached, key=lambda number: len(reached[number] & left))
    left -= reached.pop(best)
    taken += 1
    shutil.copy(names[best], folder)
print(f"{taken} inputs that reach {whole - len(left)} of {whole} edges")
