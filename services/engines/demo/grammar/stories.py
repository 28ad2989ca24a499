"""Short animal stories: a hero with a name, a find, an owner, a friendship."""

from __future__ import annotations

from random import Random

from services.engines.demo.grammar.words import ANIMALS, NAMES, article, choose_hero

_TRAITS = (
    "small", "brave", "quiet", "curious", "clever", "shy", "happy", "old", "young", "kind",
    "hungry", "sleepy", "lonely", "cheerful",
)  # fmt: skip
_HOMES = (
    "in a dark forest", "near a quiet lake", "on a green hill", "under an old bridge",
    "behind the mill", "in a hollow tree", "by the sea", "at the edge of a village",
    "in a warm barn", "on a tiny island", "beside a slow river", "in a snowy valley",
)  # fmt: skip
_HABITS = (
    "count the stars", "sing to the moon", "walk along the water", "look for berries",
    "listen to the wind", "build little houses", "watch the clouds", "dance in the rain",
    "collect smooth stones", "draw pictures in the sand",
)  # fmt: skip
_THINGS = (
    "key", "lantern", "red button", "map", "bell", "hat", "golden coin", "blue feather",
    "umbrella", "letter", "shell", "silver spoon", "kite", "drum", "ring", "wooden boat",
)  # fmt: skip
_SPOTS = (
    "under a leaf", "between two stones", "in the tall grass", "next to the path",
    "inside an empty nest", "at the foot of a tree", "on the bank of a stream",
)  # fmt: skip
_FEELINGS = ("happy", "glad", "surprised", "proud", "thankful", "relieved")
_GIFTS = (
    "a bowl of soup", "a warm blanket", "a basket of apples", "a piece of cake",
    "a song", "a jar of honey", "a soft pillow",
)  # fmt: skip

_OPENINGS = (
    "Once upon a time there was {a_trait} {hero} named {name} who lived {home}.",
    "There once was {a_trait} {hero} called {name}. The {hero} lived {home}.",
    "{home_} lived {a_trait} {hero}. Its name was {name}.",
    "{name} was {a_trait} {hero} who lived {home}.",
    "Long ago, {a_trait} {hero} named {name} lived {home}.",
)
_MORNINGS = (
    "Every evening the {hero} liked to {habit}.",
    "Every morning {name} liked to {habit}.",
    "More than anything, the {hero} loved to {habit}.",
    "When nobody was looking, {name} would {habit}.",
)
_FINDS = (
    "One day the {hero} found {a_thing} {spot}.",
    "One rainy afternoon {name} saw {a_thing} {spot}.",
    "Then, one cold night, the {hero} discovered {a_thing} {spot}.",
    "One day, while walking home, {name} found {a_thing} {spot}.",
)
_WONDERS = (
    '"Whose {thing} is this?" asked the {hero}.',
    '"Somebody must miss this {thing}," said {name}.',
    '"I will find the owner," said the {hero}.',
    "{name} had never seen such a {bare_thing} before.",
)
_OWNERS = (
    "It belonged to {a_friend}, who had looked for it everywhere.",
    "Soon {a_friend} came by and began to cry. The {thing} was lost, and now it was found.",
    "The {hero} asked everyone, and at last {a_friend} said that the {thing} was hers.",
    "{name} took the {thing} to {a_friend}, who knew it at once.",
)
_THANKS = (
    "The {friend} was so {feeling} that she gave the {hero} {gift}.",
    "The {friend} was {feeling} and shared {gift} with {name}.",
    'The {friend} smiled. "Thank you, {name}," she said, and was very {feeling}.',
)
_ENDINGS = (
    "From that day on, the {hero} and the {friend} were best friends.",
    "And {name} the {hero} went home and slept well.",
    "That night the {hero} was not alone any more.",
    "And if you go there today, you may still see {name} the {hero}.",
    "Since then, the {hero} and the {friend} {habit} together.",
)

REQUESTS = (
    "Tell me a story about {a_hero}", "Tell me a story about {a_hero}.",
    "tell me a story about {a_hero}", "Tell me a short story about {a_hero}.",
    "Please tell me a story about {a_hero}.", "Can you tell me a story about {a_hero}?",
    "Write a story about {a_hero}.", "Write a short story about {a_hero}",
    "A story about {a_hero}, please.", "I would like a story about {a_hero}.",
    "story about {a_hero}", "Do you know a story about {a_hero}?",
    "Tell me about {a_hero}.", "Tell a tale of {a_hero}.", "Once more, a story about {a_hero}!",
    "Make up a story with {a_hero} in it.", "write me a story about a little {hero}",
    "Tell me a bedtime story about {a_hero}.",
)  # fmt: skip
OPEN_REQUESTS = (
    "Tell me a story.", "Tell me a story", "tell me a story", "Write a story.",
    "Can you tell me a story?", "A story, please.", "I want to hear a story.",
)  # fmt: skip


def tell_story(rng: Random, hero: str) -> str:
    """Four to seven sentences in which the hero is always the animal asked for."""
    friend = rng.choice([animal for animal in ANIMALS if animal != hero])
    thing, home = rng.choice(_THINGS), rng.choice(_HOMES)
    words = {
        "hero": hero, "friend": friend, "a_friend": article(friend), "name": rng.choice(NAMES),
        "a_trait": article(rng.choice(_TRAITS)), "home": home, "home_": home.capitalize(),
        "habit": rng.choice(_HABITS), "thing": thing, "a_thing": article(thing),
        "bare_thing": thing, "spot": rng.choice(_SPOTS), "feeling": rng.choice(_FEELINGS),
        "gift": rng.choice(_GIFTS),
    }  # fmt: skip
    parts = [rng.choice(_OPENINGS)]
    if rng.random() < 0.7:
        parts.append(rng.choice(_MORNINGS))
    parts.append(rng.choice(_FINDS))
    if rng.random() < 0.7:
        parts.append(rng.choice(_WONDERS))
    parts += [rng.choice(_OWNERS), rng.choice(_THANKS), rng.choice(_ENDINGS)]
    return " ".join(parts).format(**words)


def ask_for_story(rng: Random, hero: str) -> str:
    """One of the ways in which people ask for a story about this animal."""
    return rng.choice(REQUESTS).format(hero=hero, a_hero=article(hero))


def story_exchange(rng: Random) -> tuple[str, str]:
    """A request and its story."""
    hero = choose_hero(rng)
    request = rng.choice(OPEN_REQUESTS) if rng.random() < 0.06 else ask_for_story(rng, hero)
    return request, tell_story(rng, hero)
