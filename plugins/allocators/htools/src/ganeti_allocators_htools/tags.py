"""What cluster tags switch on: exclusion, location, migration and desired-location prefixes.

Source: upstream's hbal(1) and its programs' behaviour in release 3.0: prefixes for exclusion and
desired location match a tag's plain beginning, those for location and migration its part before a
colon; prefixes given with ``--exclusion-tags`` too need the colon.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

EXCLUSION = "htools:iextags:"
MIGRATION = "htools:migration:"
ALLOW_MIGRATION = "htools:allowmigration:"
LOCATION = "htools:nlocation:"
DESIRED_LOCATION = "htools:desiredlocation:"
STANDBY = "htools:standby:"


def suffixes(tags: Iterable[str], prefix: str) -> tuple[str, ...]:
    """What follows ``prefix`` in those of ``tags`` that start with it and say more."""
    return tuple(
        tag[len(prefix) :] for tag in tags if tag.startswith(prefix) and len(tag) > len(prefix)
    )


@dataclass(frozen=True)
class TagRules:
    """The prefixes in force; every test is "starts with one of them"."""

    exclusion: tuple[str, ...] = ()
    migration: tuple[str, ...] = ()
    location: tuple[str, ...] = ()
    desired: tuple[str, ...] = ()
    allowed_migrations: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, cluster_tags: Iterable[str], exclusion: Iterable[str] = ()) -> TagRules:
        """Rules from the cluster's tags and the command line's exclusion prefixes."""
        tags = tuple(cluster_tags)
        allowed = (text.partition("::") for text in suffixes(tags, ALLOW_MIGRATION))
        return cls(
            exclusion=suffixes(tags, EXCLUSION) + tuple(f"{prefix}:" for prefix in exclusion),
            migration=tuple(f"{prefix}:" for prefix in suffixes(tags, MIGRATION)),
            location=tuple(f"{prefix}:" for prefix in suffixes(tags, LOCATION)),
            desired=suffixes(tags, DESIRED_LOCATION),
            allowed_migrations=tuple((source, target) for source, sep, target in allowed if sep),
        )


def matching(tags: Iterable[str], prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``tags`` that start with one of ``prefixes``, in order, repeats kept."""
    return tuple(tag for tag in tags if tag.startswith(prefixes)) if prefixes else ()
