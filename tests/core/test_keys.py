"""API keys: how they are made, the lines by which a server knows them, and what looking one up gives away."""

from __future__ import annotations

import hashlib
import re
import statistics
from collections.abc import Callable, Iterator
from random import Random
from time import perf_counter_ns

import pytest

from onnxport.errors import SettingsError
from onnxport.keys import PREFIX, Keys, new_key, parse_keys, union

# By sha256sum: printf alpha | sha256sum, and so on.
ALPHA = "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
BETA = "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_new_key_is_long_random_and_recognisable() -> None:
    made = [new_key() for _ in range(200)]
    assert all(re.fullmatch(PREFIX + "[0-9a-f]{48}", new.key) for new in made)
    assert len({new.key for new in made}) == len({new.id for new in made}) == 200
    bits = "".join(f"{int(new.key.removeprefix(PREFIX), 16):0192b}" for new in made)
    assert abs(bits.count("1") / len(bits) - 0.5) < 0.02  # 8 standard deviations


def test_its_line_is_what_sha256_says_of_it() -> None:
    new = new_key("mobile")
    assert new.line == f"mobile:{hashlib.sha256(new.key.encode()).hexdigest()}"
    assert parse_keys(new.line, source="x").find(new.key.encode()) == "mobile"
    assert new.key not in repr(new)
    assert new.key not in new.line


@pytest.mark.parametrize(
    "name",
    ["", "a b", "-a", "a:b", "a" * 65, "é", "a\n", pytest.param(new_key().key, id="a key")],
)
def test_an_id_that_logs_could_not_carry_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="1 to 64 letters") as refused:
        new_key(name)
    assert PREFIX not in str(refused.value)


def test_lines_comments_and_commas() -> None:
    text = f"# two, for now\n\n  alpha:{ALPHA} \r\n,\n b.2:{BETA.upper()}\n".replace(",\n", "\n")
    keys = parse_keys(text, source="keys.txt")
    assert keys.ids == ("alpha", "b.2")
    assert (keys.find(b"alpha"), keys.find(b"beta")) == ("alpha", "b.2")
    assert parse_keys(f"alpha:{ALPHA}, b.2:{BETA}", source="x") == keys


@pytest.mark.parametrize("sent", [b"", b"Alpha", b"alpha\n", b"alph", b"\xff" * 65536, b"\0"])
def test_any_other_bytes_are_no_key(sent: bytes) -> None:
    assert parse_keys(f"alpha:{ALPHA}", source="x").find(sent) is None


@pytest.mark.parametrize("place", range(32))
def test_every_byte_of_the_hash_counts(place: int) -> None:
    digest = hashlib.sha256(b"alpha").digest()
    other = digest[:place] + bytes([digest[place] ^ 1]) + digest[place + 1 :]
    assert Keys((("a", digest),)).find(b"alpha") == "a"
    assert Keys((("a", other),)).find(b"alpha") is None


REFUSED = {
    "no colon": (f"a:{ALPHA}\n# b\nhello", "keys.txt, line 3 is not of the form id:sha256"),
    "half a hash": (f"a:{ALPHA[:-1]}", "keys.txt, line 1 has no SHA-256 of 64 hex"),
    "no hexadecimal": (f"a:{'g' * 64}", "keys.txt, line 1 has no SHA-256"),
    "digits of elsewhere": (f"a:{'٣' * 64}", "keys.txt, line 1 has no SHA-256"),
    "a space in the hash": (f"a: {ALPHA}", "keys.txt, line 1 has no SHA-256"),
    "two colons": (f"a:{ALPHA}:b", "keys.txt, line 1 has no SHA-256"),
    "no id": (f":{ALPHA}", "keys.txt, line 1 has no good id"),
    "a bad id": (f"a b:{ALPHA}", "keys.txt, line 1 has no good id"),
    "an id twice": (f"a:{ALPHA}\na:{BETA}", "line 2: the id 'a' stands in line 1 already"),
    "a line twice": (f"a:{ALPHA}\na:{ALPHA}", "line 2: the id 'a' stands in line 1 already"),
    "a key twice": (f"a:{ALPHA}\nb:{ALPHA}", "line 2: the key of 'b' stands in line 1 already"),
    "the hash of nothing": (f"a:{EMPTY}", "line 1 has the hash of an empty text"),
    "nothing": ("\n# later\n", "keys.txt holds no key; make one with `onnxport key`"),
    "an empty entry": (f"a:{ALPHA},,b:{BETA}", "line 1 is not of the form"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_with_its_line(name: str) -> None:
    text, told = REFUSED[name]
    with pytest.raises(SettingsError, match=re.escape(told)):
        parse_keys(text, source="keys.txt")


@pytest.mark.parametrize("form", ["{}", "a:{}", "{}:" + ALPHA, "the key is {}"])
def test_a_key_in_the_place_of_its_line_is_never_repeated(form: str) -> None:
    secret = new_key().key
    with pytest.raises(SettingsError, match="line 1 holds a key itself") as refused:
        parse_keys(form.format(secret), source="keys.txt")
    assert secret not in str(refused.value)
    assert refused.value.__cause__ is None


def keys(**hashes: str) -> Keys:
    return parse_keys("\n".join(f"{name}:{digest}" for name, digest in hashes.items()), source="x")


def test_two_sources_are_one_set() -> None:
    both = union(keys(a=ALPHA), keys(b=BETA), sources="both")
    assert (both.find(b"alpha"), both.find(b"beta")) == ("a", "b")
    assert union(both, keys(a=ALPHA), sources="both") == both
    with pytest.raises(SettingsError, match="both have different keys of the id 'a'"):
        union(keys(a=ALPHA), keys(a=BETA), sources="both")
    with pytest.raises(SettingsError, match="both have one key as 'a' and as 'b'"):
        union(keys(a=ALPHA), keys(b=ALPHA), sources="both")


class Watched(tuple[tuple[str, bytes], ...]):
    """Known keys that count how many of them were looked at."""

    looked = 0

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for entry in super().__iter__():
            self.looked += 1
            yield entry


@pytest.mark.parametrize("sent", [b"alpha", b"beta", b"alphabet", b"wrong", b"", b"a" * 10_000])
def test_every_known_hash_is_compared_whatever_is_presented(sent: bytes) -> None:
    known = Watched((*keys(a=ALPHA, b=BETA).known, ("c", bytes(32))))
    Keys(known).find(sent)
    assert known.looked == 3


# --------------------------------------------------------------------------------- how long it takes

CALLS = 250_000  # of each half, each way round
SECRET = PREFIX.encode() + b"0123456789abcdef" * 3


def t_value(find: Callable[[bytes], object], pairs: list[bytes]) -> float:
    """Welch's t of the times for the first and the second halves of pairs, drawn at random, without the slowest tenth
    (as dudect does). Halves of one string, because where a key lies in memory would count for more than what it says.
    """
    random, size = Random(7), len(SECRET)
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(2 * CALLS):
        which = int(random.random() * 2)
        sent = random.choice(pairs)[which * size : which * size + size]
        began = perf_counter_ns()
        find(sent)
        ended = perf_counter_ns()
        times[which].append(ended - began)
    bound = sorted(times[0] + times[1])[int(1.8 * CALLS)]
    one, other = ([t for t in kind if t <= bound] for kind in times)
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return float((statistics.fmean(one) - statistics.fmean(other)) / spread**0.5)


def difference(find: Callable[[bytes], object], pairs: list[bytes]) -> float:
    """How many standard deviations the two kinds differ by, free of what measuring one of two halves costs."""
    turned = [pair[len(SECRET) :] + pair[: len(SECRET)] for pair in pairs]
    return abs(t_value(find, pairs) - t_value(find, turned)) / 2**0.5


def by_hash(digest: bytes) -> list[bytes]:
    """Pairs of wrong keys: the second one's hash begins as the right one's, the first one's doesn't."""
    made = [SECRET[:-8] + b"%08d" % number for number in range(200_000)]
    near = [hashlib.sha256(key).digest()[0] == digest[0] for key in made]
    return [made[i - 1] + made[i] for i in range(1, len(made)) if near[i] and not near[i - 1]]


def by_text() -> list[bytes]:
    """Pairs of wrong keys: the first goes wrong at its first random digits, the second at its last."""
    at, digits = len(PREFIX), [b"%03x" % number for number in range(4096)]
    return [
        SECRET[:at] + wrong + SECRET[at + 3 :] + SECRET[:-3] + wrong
        for wrong in digits
        if wrong not in SECRET
    ]


@pytest.mark.long
def test_a_million_wrong_keys_take_as_long_wherever_they_go_wrong() -> None:
    """No difference is seen in a million; the naive comparison, measured alike, is found out."""
    digest = hashlib.sha256(SECRET).digest()
    known = Keys((("a", bytes(32)), ("b", digest), ("c", bytes(32))))
    assert difference(known.find, by_hash(digest)) < 6
    assert difference(known.find, by_text()) < 6

    def naive(sent: bytes) -> bool:
        return all(ours == theirs for ours, theirs in zip(SECRET, sent, strict=True))

    assert difference(naive, by_text()) > 50
