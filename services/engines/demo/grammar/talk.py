"""Small talk, what the model says of itself, and what it says when it does not know."""

from __future__ import annotations

from random import Random

from services.engines.demo.grammar.words import NAMES, invent_word, join_letters

SELF = (
    "I am the demo model of Distributed Electrons. I have fewer than two million parameters and "
    "learned from invented stories, so I know nothing about the world."
)
ABILITIES = (
    "I am only a demo model and know nothing. I can tell a story about an animal, write a short "
    "poem, add small numbers and say what the parts of the mesh are."
)
UNKNOWN = (
    "I do not know. I am only a demo model and know nothing about the world. Ask me for a story "
    "about an animal, a poem or a small sum."
)

_WHO = (
    "Who are you?", "who are you", "What are you?", "what are you?", "Which model are you?",
    "What model is this?", "What model are you?", "Introduce yourself.", "Are you ChatGPT?",
    "Are you a real model?", "Are you human?", "Are you an AI?", "Who made you?",
    "How big are you?", "What is your name?", "what's your name?", "Tell me about yourself.",
    "Do you know anything?", "How many parameters do you have?", "What do you know?",
    "Who am I talking to?", "Are you intelligent?", "Are you a bot?", "Is this GPT-4?",
)  # fmt: skip
_WHAT = (
    "What can you do?", "what can you do", "What can you do for me?", "Help", "help", "Help me.",
    "Can you help me?", "What are you good at?", "How can you help?", "What should I ask you?",
    "What can I ask?", "What do you do?", "Can you help me with something?",
    "What are your skills?", "How do I use you?",
)  # fmt: skip
_TALK = (
    (("Hi", "Hi!", "Hello", "Hello!", "hello", "hi", "Hey", "hey there", "Hello there", "hello!"),
     ("Hello! I am a small demo model. Ask me for a story, a poem or a small sum.",
      "Hi! It is nice to hear from you. Shall I tell you a story?",
      "Hello! What would you like: a story, a poem or a sum?")),
    (("Good morning", "Good morning!", "good morning"),
     ("Good morning! Shall I tell you a story?",)),
    (("Good evening", "Good evening!", "Good night", "Good night!"),
     ("Good evening! A short story before you sleep?",)),
    (("How are you?", "how are you", "How are you today?", "How do you do?", "What's up?",
      "How is it going?"),
     ("I am well, thank you. I am a program, so I always am. How are you?",
      "Very well, thank you! Would you like a story?")),
    (("Thanks", "Thank you", "Thanks!", "Thank you!", "thank you", "thanks a lot", "Great!",
      "Nice!", "That was nice.", "I like it.", "Good job!", "Wow!"),
     ("You are welcome!", "You are welcome! Would you like another one?",
      "I am glad you like it.")),
    (("Bye", "Bye!", "Goodbye", "goodbye", "See you", "Good bye!"),
     ("Goodbye! Come back soon.", "Goodbye! It was nice to talk to you.")),
    (("I am fine", "I am fine, thanks.", "I am well.", "Good", "Fine."),
     ("I am glad to hear that. Shall I tell you a story?",)),
    (("I am sad.", "I am tired.", "I feel bad.", "I am bored."),
     ("I am sorry to hear that. Maybe a story helps? Just name an animal.",)),
    (("Tell me a joke", "Tell me a joke.", "Do you know a joke?", "Make me laugh."),
     ("Why did the hen sit on the computer? She wanted to hatch a plan.",
      "What does a cloud wear under its coat? Thunderwear.",
      "Why was the robot tired? It had a hard drive.")),
    (("ping", "Ping", "ping!"), ("pong",)),
    (("test", "Test", "testing", "This is a test.", "Is this working?", "Does it work?"),
     ("It works. This is the demo model answering.",)),
    (("Say this is a test", "Say this is a test.", "Say this is a test!"), ("This is a test.",)),
    (("Say hello", "Say hello.", "Say hi", "Say hello!", "say hello"), ("Hello!",)),
    (("Hello world", "Hello, world!", "hello world"), ("Hello, world! Shall I tell you a story?",)),
)  # fmt: skip
_NAME_ASK = ("My name is {name}.", "I am {name}.", "Hi, I am {name}.", "Hello, my name is {name}!")
_REPEAT = (
    "Say {words}", "Say: {words}", "say {words}", "Repeat after me: {words}", "Repeat: {words}",
    "Repeat {words}", "Echo {words}", "Please say {words}", "Can you say {words}",
)  # fmt: skip
_NAME_ANSWER = ("Nice to meet you, {name}!", "Hello, {name}! Shall I tell you a story?")

_QUESTIONS = (
    "What is the capital of {x}?", "Who is {x}?", "Who invented the {x}?", "How do I {x} the {y}?",
    "Why is the {x} {y}?", "When was {x} born?", "Translate {x} into {y}.", "What is {x}?",
    "Write a program that {x}s {y}.", "Explain {x} to me.", "How many {x}s are in a {y}?",
    "Where is {x}?", "What does {x} mean?", "Summarize this: {x} {y} {x} {z} {y}.",
    "Is {x} better than {y}?", "What happened in {x}?", "Give me five ideas for {x}.",
    "Write an email to {x} about {y}.", "Fix this code: {x}({y}) {z}", "Who won the {x} {y}?",
    "What time is it in {x}?", "How tall is the {x}?", "Should I {x} my {y}?", "{x} {y} {z}",
    "What is the best {x} for {y}?", "Can you {x}?", "Recommend a {x}.", "{x}?",
    "What is the difference between {x} and {y}?", "List three {x}s.", "How does {x} work?",
    "Which {x} is the largest?", "What is the weather in {x}?", "Do you like {x}?",
    "How old is {x}?", "Write a python function to {x} a {y}", "What year did {x} {y}?",
)  # fmt: skip
_MATTERS = (
    "France", "Germany", "Japan", "England", "the world", "history", "python", "code", "a list",
    "water", "light", "money", "music", "football", "cooking", "a car", "a house", "school",
    "science", "physics", "the president", "a king", "war", "peace", "love", "life", "telephone",
    "sort", "reverse", "string", "number", "movie", "book", "language", "city", "country",
    "doctor", "medicine", "law", "tax", "gravity", "quantum mechanics", "sky", "blue", "Paris",
    "London", "Berlin", "recipe", "pasta", "travel", "weather", "internet", "1984", "2020",
)  # fmt: skip


def _matter(rng: Random) -> str:
    draw = rng.random()
    if draw < 0.5:
        return rng.choice(_MATTERS)
    return invent_word(rng) if draw < 0.7 else join_letters(rng)


def unknown_exchange(rng: Random) -> tuple[str, str]:
    """A question that only someone who knows something could answer."""
    x, y, z = _matter(rng), _matter(rng), _matter(rng)
    return rng.choice(_QUESTIONS).format(x=x, y=y, z=z), UNKNOWN


def repeat_exchange(rng: Random) -> tuple[str, str]:
    """Words to be said again as they are: short, and the best school for copying."""
    makers = (lambda: rng.choice(_MATTERS), lambda: invent_word(rng), lambda: join_letters(rng))
    words = " ".join(rng.choice(makers)() for _ in range(rng.randint(1, 4)))
    return rng.choice(_REPEAT).format(words=words), words


def self_exchange(rng: Random) -> tuple[str, str]:
    """A question about the model, answered honestly."""
    asked, answer = rng.choice(((_WHO, SELF), (_WHAT, ABILITIES)))
    return rng.choice(asked), answer


def talk_exchange(rng: Random) -> tuple[str, str]:
    """Greetings, thanks, jokes and the phrases that people test a program with."""
    if rng.random() < 0.12:
        name = rng.choice(NAMES) if rng.random() < 0.5 else invent_word(rng).capitalize()
        return rng.choice(_NAME_ASK).format(name=name), rng.choice(_NAME_ANSWER).format(name=name)
    asked, answers = rng.choice(_TALK)
    return rng.choice(asked), rng.choice(answers)
