"""`>>`, `|`, `.then`, `.also`: what both checkers must accept, and the type that both must see."""

from ..steps import *

# --- primitive >> x -------------------------------------------------------------------------------
reveal_type(length >> show)  # SequentialPrimitive[str, str]
reveal_type(length >> async_show)  # SequentialPrimitive[str, str]
reveal_type(length >> sync_show)  # SequentialPrimitive[str, str]
reveal_type(length >> async_show_in)  # SequentialPrimitive[str, str]
reveal_type(length >> sync_show_in)  # SequentialPrimitive[str, str]
reveal_type(length >> async_now)  # SequentialPrimitive[str, float]
reveal_type(length >> sync_now)  # SequentialPrimitive[str, float]
reveal_type(length >> truth)  # SequentialPrimitive[str, bool]
reveal_type(length >> double >> show >> words)  # SequentialPrimitive[str, list[str]]
reveal_type(length >> (double >> show))  # SequentialPrimitive[str, str]
reveal_type(words >> len)  # SequentialPrimitive[str, int]
reveal_type(shout >> str.split)  # SequentialPrimitive[str, list[str]]

# --- function >> primitive ------------------------------------------------------------------------
reveal_type(async_length >> show)  # SequentialPrimitive[str, str]
reveal_type(sync_length >> show)  # SequentialPrimitive[str, str]
reveal_type(async_length_in >> show)  # SequentialPrimitive[str, str]
reveal_type(sync_length_in >> show)  # SequentialPrimitive[str, str]
reveal_type(async_now >> truth)  # SequentialPrimitive[object, bool]
reveal_type(sync_now >> truth)  # SequentialPrimitive[object, bool]

# --- .then ----------------------------------------------------------------------------------------
reveal_type(length.then(show))  # SequentialPrimitive[str, str]
reveal_type(length.then(async_show))  # SequentialPrimitive[str, str]
reveal_type(length.then(sync_show))  # SequentialPrimitive[str, str]
reveal_type(length.then(async_show_in))  # SequentialPrimitive[str, str]
reveal_type(length.then(sync_show_in))  # SequentialPrimitive[str, str]
reveal_type(length.then(sync_now))  # SequentialPrimitive[str, float]
reveal_type(length.then(lambda number: number + 1))  # SequentialPrimitive[str, int]
reveal_type(length.then(lambda context, number: number + 1))  # SequentialPrimitive[str, int]

# --- primitive | x, function | primitive, .also ---------------------------------------------------
reveal_type(length | shout)  # FanOut[str, int | str]
reveal_type(length | async_shout)  # FanOut[str, int | str]
reveal_type(length | sync_shout)  # FanOut[str, int | str]
reveal_type(shout | async_length_in)  # FanOut[str, str | int]
reveal_type(shout | sync_length_in)  # FanOut[str, str | int]
reveal_type(length | async_now)  # FanOut[str, int | float]
reveal_type(length | sync_now)  # FanOut[str, int | float]
reveal_type(length | shout | words)  # FanOut[str, int | str | list[str]]
reveal_type(length | length)  # FanOut[str, int]
reveal_type(async_length | shout)  # FanOut[str, int | str]
reveal_type(sync_length | shout)  # FanOut[str, int | str]
reveal_type(async_length_in | shout)  # FanOut[str, int | str]
reveal_type(sync_length_in | shout)  # FanOut[str, int | str]
reveal_type(length.also(shout))  # FanOut[str, int | str]
reveal_type(length.also(async_shout))  # FanOut[str, int | str]
reveal_type(length.also(sync_shout))  # FanOut[str, int | str]
reveal_type(length.also(lambda text: text.upper()))  # FanOut[str, int | str]
reveal_type(length | truth)  # FanOut[str, int | bool]

# --- mixed ----------------------------------------------------------------------------------------
reveal_type((length | async_length) >> total)  # SequentialPrimitive[str, int]
reveal_type(length >> (double | sync_double) >> total)  # SequentialPrimitive[str, int]
reveal_type(words >> async_join >> (length | sync_length))  # SequentialPrimitive[str, list[int]]
reveal_type(shout >> (length | shout))  # SequentialPrimitive[str, list[int | str]]
