# SPDX-License-Identifier: Apache-2.0
"""The questions of the lm-eval task: facts whose wrong answers are those of their neighbours."""

CAPITALS = {"France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon", "Japan": "Tokyo", "China": "Beijing", "Russia": "Moscow",
            "Egypt": "Cairo", "Greece": "Athens", "Austria": "Vienna", "Poland": "Warsaw", "Norway": "Oslo", "Sweden": "Stockholm", "Canada": "Ottawa"}
OPPOSITES = {"hot": "cold", "big": "small", "up": "down", "light": "dark", "wet": "dry", "fast": "slow", "old": "new", "rich": "poor", "open": "closed", "early": "late",
             "full": "empty", "hard": "soft", "high": "low", "left": "right", "happy": "sad"}
COLOURS = {"grass": "green", "the sky on a clear day": "blue", "snow": "white", "coal": "black", "a ripe banana": "yellow", "blood": "red", "an orange": "orange",
           "chocolate": "brown", "a flamingo": "pink", "lavender": "purple"}
NUMBERS = {"legs of a spider": "eight", "legs of an insect": "six", "sides of a triangle": "three", "days in a week": "seven", "months in a year": "twelve",
           "wheels of a bicycle": "two", "corners of a square": "four", "fingers of a hand": "five", "planets in the solar system": "eight", "players in a football team": "eleven"}
GROUPS = [(CAPITALS, "The capital of {} is"), (OPPOSITES, "The opposite of {} is"), (COLOURS, "The colour of {} is"), (NUMBERS, "The number of {} is")]


def items():
    """[{question, choices, answer}]: four choices each, the right one at a place that goes around."""
    found = []
    for answers, form in GROUPS:
        names = sorted(set(answers.values()))
        for number, (thing, right) in enumerate(answers.items()):
            others = [name for name in names if name != right]
            choices = [others[(number * 3 + step * 2) % len(others)] for step in range(3)]
            if len(set(choices)) < 3:
                choices = others[:3]
            place = number % 4
            choices.insert(place, right)
            found.append({"question": form.format(thing), "choices": choices, "answer": place})
    return found
