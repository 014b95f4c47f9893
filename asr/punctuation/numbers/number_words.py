"""The English words that numbers, dates, times and amounts are spoken with."""

from __future__ import annotations

DIGITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
}  # fmt: skip
UNITS = {word: value for word, value in DIGITS.items() if value}
TEENS = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "quadrillion": 10**15}
"""written in figures (thousand) or as a word behind a figure (the others)"""
MULTIPLIERS = {"hundred": 100, **SCALES}
REPEATS = {"double": 2, "triple": 3, "treble": 3}
SPOKEN_ZERO = frozenset({"oh", "o"})
NOUGHT = frozenset({"nought", "naught"})

ORDINALS = {
    "first": "one", "second": "two", "third": "three", "fourth": "four", "fifth": "five", "sixth": "six",
    "seventh": "seven", "eighth": "eight", "ninth": "nine", "tenth": "ten", "eleventh": "eleven",
    "twelfth": "twelve", "twelveth": "twelve", "thirteenth": "thirteen", "fourteenth": "fourteen",
    "fifteenth": "fifteen", "sixteenth": "sixteen", "seventeenth": "seventeen", "eighteenth": "eighteen",
    "nineteenth": "nineteen", "twentieth": "twenty", "thirtieth": "thirty", "fortieth": "forty",
    "fiftieth": "fifty", "sixtieth": "sixty", "seventieth": "seventy", "eightieth": "eighty", "ninetieth": "ninety",
    "hundredth": "hundred", "thousandth": "thousand",
}  # fmt: skip
"""to the cardinal that ends the same number"""
FRACTIONS = frozenset({f"{word}s" for word in ORDINALS if word not in ("first", "second")} | {"halves", "quarters"})
DECADES = {f"{word[:-1]}ies": value for word, value in TENS.items()}

NUMBER_WORDS = frozenset({*DIGITS, *TEENS, *TENS, *MULTIPLIERS, *ORDINALS, *FRACTIONS, *DECADES, *NOUGHT, "hundreds"})
"""an expression has one of these words at least"""

MONTHS = {
    name.lower(): name
    for name in ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                 "November", "December")
}  # fmt: skip
VERB_MONTHS = frozenset({"may", "march"})
WEEKDAYS = frozenset({"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"})

DURATIONS = {"second", "minute", "hour", "day", "night", "week", "month", "year"}
_MEASURES = {
    "mile", "yard", "inch", "kilometer", "kilometre", "meter", "metre", "centimeter", "centimetre", "millimeter",
    "millimetre", "pound", "ounce", "ton", "tonne", "gram", "kilogram", "kilo", "milligram", "liter", "litre",
    "milliliter", "millilitre", "gallon", "pint", "acre", "hectare", "degree", "volt", "watt", "kilowatt", "megawatt",
    "amp", "byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "kilohertz", "megahertz", "gigahertz", "knot",
    "calorie", "micrometer", "micrometre", "nanometer", "nanometre", "microgram", "kilobit", "megabit", "gigabit",
    "lumen", "joule", "newton", "decibel", "millivolt", "milliamp", "pixel", "megapixel", "foot", "horsepower", "hertz",
}  # fmt: skip
SINGULAR_MEASURES = frozenset(_MEASURES - {"horsepower", "hertz", "kilohertz", "megahertz", "gigahertz"})
MEASURES = frozenset(_MEASURES | {f"{word}s" for word in SINGULAR_MEASURES} | {"feet", "inches"})
"""a number before one is written in figures"""
MEASURE_QUALIFIERS = frozenset({"square", "cubic", "nautical", "metric"})
OTHER_CURRENCIES = frozenset(
    {"yen", "yuan", "franc", "francs", "rupee", "rupees", "ruble", "rubles", "rouble", "roubles", "peso", "pesos",
     "shilling", "shillings", "pence", "guinea", "guineas", "livres", "lire", "buck", "bucks", "cent", "cents"}
)  # fmt: skip
"""a number before one is written in figures, and the word stays"""
SYMBOLS = {"dollar": "$", "dollars": "$", "euro": "\u20ac", "euros": "\u20ac", "pound": "\u00a3", "pounds": "\u00a3"}
PLURAL_SYMBOLS = frozenset({"dollars", "euros"})
COUNTED = frozenset(
    {*DURATIONS, *(f"{word}s" for word in DURATIONS), *MEASURES, *OTHER_CURRENCIES, *SYMBOLS, *MEASURE_QUALIFIERS}
    | {"percent", "per", "percentage"}
)
"""a number before one is a quantity, so neither a year nor a time"""
SPENDING = frozenset(
    {"cost", "costs", "costing", "pay", "pays", "paid", "paying", "price", "worth", "spend", "spends", "spent", "earn",
     "earns", "earned", "owe", "owes", "owed", "lend", "lent", "borrowed", "fined", "salary", "income", "debt"}
)  # fmt: skip
"""pounds behind one are money, not weight"""

DETERMINERS = frozenset(
    {"the", "this", "that", "these", "those", "a", "an", "my", "your", "his", "her", "its", "our", "their", "whose",
     "no", "every", "each", "any", "some", "another", "which"}
)  # fmt: skip
PRONOUNS = frozenset({"i", "you", "he", "she", "it", "we", "they", "who", "that", "which", "there", "one"})
FUNCTION_WORDS = (
    frozenset(
        {"", "am", "and", "are", "as", "at", "because", "been", "but", "by", "can", "could", "did", "do", "does",
         "during", "for", "from", "had", "has", "have", "him", "how", "if", "in", "into", "is", "it's", "me", "not",
         "of", "on", "or", "please", "should", "since", "so", "than", "them", "then", "though", "through", "to", "too",
         "until", "upon", "us", "was", "were", "what", "when", "where", "while", "why", "will", "with", "would"}
    )
    | DETERMINERS
    | PRONOUNS
)  # fmt: skip
"""words that end a number: no noun is counted by it. The empty word is the end of the text."""

STRONG_LABELS = frozenset(
    {"chapter", "page", "verse", "section", "route", "highway", "interstate", "flight", "channel", "apartment", "psalm",
     "volume", "episode", "season", "version", "gate", "extension", "platform", "paragraph", "appendix", "suite",
     "boeing", "airbus", "code", "pin", "error", "chapters", "pages", "verses", "sections", "volumes"}
)  # fmt: skip
WEAK_LABELS = frozenset(
    {"room", "number", "line", "table", "figure", "part", "step", "question", "unit", "box", "flat", "building",
     "track", "bus", "item", "level", "grade", "phase", "area", "exit", "lot", "rooms", "numbers", "lines", "parts",
     "act", "scene"}
)  # fmt: skip
"""ordinary nouns too: a small number behind one is a label only behind a word that such a phrase begins with"""
LABEL_LEADS = frozenset(
    {"in", "on", "at", "to", "from", "of", "see", "read", "and", "or", "is", "was", "by", "into", "for", "with",
     "through", "until", "open", "turn", "dial", "bus", "house", "line", "track", "platform", "act", "volume"}
)  # fmt: skip
STREETS = frozenset({"street", "avenue", "boulevard", "lane", "road", "terrace", "drive", "court", "crescent"})
YEAR_LEADS = frozenset(
    {"in", "since", "by", "until", "till", "before", "after", "during", "from", "circa", "early", "late", "mid", "year",
     "summer", "winter", "spring", "autumn", "fall", "lord", "through", *MONTHS}
)  # fmt: skip
YEAR_NOUNS = frozenset(
    {"summer", "winter", "spring", "autumn", "fall", "class", "year", "war", "crash", "crisis", "end", "beginning"}
)
"""of which years are said, with "of\""""
TIME_LEADS = frozenset(
    {"at", "by", "until", "till", "before", "after", "around", "about", "nearly", "almost", "since", "it's", "is",
     "was", "past"}
)  # fmt: skip
DATE_LEADS = frozenset(
    {"on", "of", "by", "until", "till", "since", "from", "to", "before", "after", "last", "next", "this", "between",
     "early", "late", "mid", "through", "for", "around", "about", "in", *WEEKDAYS}
)  # fmt: skip
AFTER_TIME = frozenset(
    {"train", "bus", "flight", "ferry", "boat", "show", "class", "tonight", "tomorrow", "yesterday", "today", "sharp",
     "local", "eastern", "pacific", "central", "o'clock", "every", "each", "or", "precisely", "exactly", *WEEKDAYS}
)  # fmt: skip
"""nouns and adverbs behind a time"""
BEFORE_PRONOUN = frozenset({"no", "every", "any", "some", "each", "this", "that", "the", "which"})
"""behind one, "one" is no number"""
