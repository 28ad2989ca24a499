"""Four rhyming lines on a topic."""

from __future__ import annotations

from random import Random

from services.engines.demo.grammar.words import choose_hero, invent_word

_TOPICS = {
    "the moon": ("silver", "above the hill", "🌙"),
    "the sea": ("deep and blue", "beyond the sand", "🌊"),
    "the rain": ("soft and grey", "on every roof", "🌧"),
    "the sun": ("golden", "over the field", "🌞"),
    "winter": ("white and cold", "on the silent road", "❄"),
    "spring": ("green and new", "along the lane", "🌱"),
    "autumn": ("red and brown", "between the trees", "🍂"),
    "the night": ("dark and wide", "behind the door", "🌌"),
    "the wind": ("wild and free", "around the tower", "🍃"),
    "the river": ("cool and clear", "below the bridge", "💧"),
    "the stars": ("small and bright", "above the town", "⭐"),
    "a tree": ("tall and old", "beside the wall", "🌳"),
    "a candle": ("warm and low", "upon the table", "🕯"),
    "a friend": ("kind and true", "beside the fire", "🤝"),
    "bread": ("fresh and brown", "upon the shelf", "🍞"),
    "the mountain": ("high and grey", "above the clouds", "⛰"),
    "a flower": ("pink and small", "beside the gate", "🌸"),
    "electricity": ("quick and bright", "along the wire", "⚡"),
    "computers": ("patient", "upon the desk", "💻"),
    "the mesh": ("wide and strong", "from house to house", "🕸"),
}

_LOOKS = tuple(look for look, _, _ in _TOPICS.values())
_PLACES = tuple(place for _, place, _ in _TOPICS.values())

_COUPLETS = (
    ("I think of {topic} when the day is done,", "and shadows grow without the sun."),
    ("I sing of {topic}, {look} and slow,", "for all who come and all who go."),
    ("Oh, {topic}, so {look}, so near,", "you are the thing I hold most dear."),
    ("There is {topic} {place} tonight,", "a {plain} thing, a small delight."),
    ("They say {topic} can never sleep,", "it has a promise it must keep."),
    ("I looked for {topic} every place,", "and found a smile upon its face."),
)
_CLOSINGS = (
    ("So let the hours come and pass,", "like drops of dew upon the grass."),
    ("And when the morning finds me here,", "{topic} will still be very near."),
    ("I close my eyes, I hear it say:", "tomorrow is another day."),
    ("And so I write this little rhyme,", "{topic} and I have lots of time."),
    ("No one can buy it, none can own,", "and none who sees it is alone."),
)
_REQUESTS = (
    "Write a poem about {topic}.", "Write a poem about {topic}", "a poem about {topic}",
    "Write me a short poem about {topic}.", "Can you write a poem about {topic}?",
    "Please write a poem about {topic}.", "Poem about {topic}", "Give me a rhyme about {topic}.",
    "Write a haiku about {topic}.", "I would like a poem about {topic}.",
    "Make a little poem on {topic}.", "write a poem on {topic}",
)  # fmt: skip


def write_poem(rng: Random, topic: str) -> str:
    """Four lines that name the topic; at times its picture character ends them."""
    look, place, picture = _TOPICS.get(topic) or (rng.choice(_LOOKS), rng.choice(_PLACES), "✨")
    lines = rng.choice(_COUPLETS) + rng.choice(_CLOSINGS)
    text = "\n".join(lines).format(topic=topic, look=look, place=place, plain=look.split()[0])
    text = "\n".join(line[0].upper() + line[1:] for line in text.split("\n"))
    return f"{text} {picture}" if rng.random() < 0.3 else text


def poem_exchange(rng: Random) -> tuple[str, str]:
    """A request and its poem."""
    topic = rng.choice(tuple(_TOPICS))
    if rng.random() < 0.4:
        topic = rng.choice((f"the {choose_hero(rng)}", f"{choose_hero(rng)}s", invent_word(rng)))
    return rng.choice(_REQUESTS).format(topic=topic), write_poem(rng, topic)
