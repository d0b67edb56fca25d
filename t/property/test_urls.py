"""A URL made of any parts is taken apart into the same parts, and shows no password."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from kombu.utils.url import as_url, sanitize_url, url_to_parts

TEXT = st.text(st.characters(exclude_categories=['Cs']), min_size=1)
IPV6 = st.ip_addresses(v=6).map(str)
# Names of hosts have no case; one with several colons is an address.
HOST = st.one_of(IPV6, TEXT.map(str.lower).filter(lambda h: h == h.lower() and h.count(':') < 2))

PARTS = st.tuples(
    st.from_regex(r'[a-z][a-z0-9+.-]*', fullmatch=True),
    st.none() | HOST,
    st.none() | st.integers(1, 65535),
    st.none() | TEXT,
    st.none() | TEXT,
    st.none() | TEXT,
    st.dictionaries(TEXT, TEXT, max_size=3),
)


@given(PARTS)
@example(('amqp', '::1', 5672, 'u@', 'p/', '/', {'a': '&'}))
def test_round_trip(parts: tuple[str, ...]) -> None:
    assert tuple(url_to_parts(as_url(*parts))) == parts  # type: ignore[arg-type]


@given(PARTS)
def test_sanitized(parts: tuple[str, ...]) -> None:
    """Nothing but the password and the query is missing, and a second time changes nothing."""
    scheme, host, port, user, password, path, _ = parts
    shown = sanitize_url(as_url(*parts))  # type: ignore[arg-type]
    masked = password and '**'
    assert tuple(url_to_parts(shown)) == (scheme, host, port, user, masked, path, {})
    assert sanitize_url(shown) == shown


@given(st.text())
def test_any_text_can_be_sanitized(text: str) -> None:
    sanitize_url(text)
    sanitize_url(f'amqp://{text}')


@given(
    user=st.text('uv', max_size=2),
    before=st.text('ab/?#@:[]%;,', max_size=5),
    after=st.text('ab/?#@:[]%;,', max_size=5),
    tail=st.text('xy/?#:[]%,1', max_size=5),
)
def test_passwords_nobody_encoded(user: str, before: str, after: str, tail: str) -> None:
    """Whatever stands between the first colon and the last `@` is hidden."""
    url = f'amqp://{user}:{before}SECRET{after}@{tail}'
    assert 'SECRET' not in sanitize_url(url)
    assert 'SECRET' not in complaint(url)


def complaint(url: str) -> str:
    try:
        url_to_parts(url)
    except ValueError as exc:
        return str(exc)
    return ''
