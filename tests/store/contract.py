"""The contract of the store port: every adapter passes this suite unchanged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from harness import user_records
from rung.store.port import (
    NOTHING_APPLIED,
    Applied,
    BoundLog,
    Change,
    Counters,
    Entries,
    Overtaken,
    Quarantined,
    Standing,
    Store,
)
from rung.store.survey import CHUNK_RECORDS, Survey, SurveyedUser

Open = Callable[[], Store]

AT = 1_627_776_000_000_000


def change(**changes: object) -> Change:
    """Return a first change of partition 0 with some fields changed."""
    first = Change(catalog_revision=0, expected={0: NOTHING_APPLIED}, applied={0: Applied(4, AT)})
    changed = replace(first, **changes)  # pyright: ignore[reportArgumentType]
    users = {
        user
        for entries in (changed.transactions, changed.users, changed.user_attributes)
        for user in entries.users
    }
    return replace(changed, user_partitions=dict.fromkeys(users, 0))


def entries(*records: tuple[bytes, bytes | None], user: bytes | None = None, **before: bytes) -> Entries:
    """Return entries under (key, record); each is of its own user, or all of one. `before` is what they replace."""
    return Entries(
        [key for key, _ in records],
        [before.get(key.decode()) for key, _ in records],
        [record for _, record in records],
        [key if user is None else user for key, _ in records],
    )


def surveyed(survey: Survey) -> dict[bytes, SurveyedUser]:
    """Return the users of a survey; none comes twice, and no chunk is empty or too large."""
    chunks = list(survey.users())
    assert all(0 < len(chunk) <= CHUNK_RECORDS for chunk in chunks)
    users = {user.user_id: user for chunk in chunks for user in chunk}
    assert len(users) == sum(map(len, chunks))
    return users


def surveyed_transactions(survey: Survey) -> dict[bytes, bytes]:
    """Return the transactions of a survey, of which the same holds."""
    chunks = list(survey.transactions())
    assert all(0 < len(chunk) <= CHUNK_RECORDS for chunk in chunks)
    records = {key: record for chunk in chunks for key, record in chunk}
    assert len(records) == sum(map(len, chunks))
    return records


def quarantined(partition: int, offset: int, payload: bytes = b"{") -> Quarantined:
    """Return a quarantined event."""
    return Quarantined(partition, offset, "not_json", "no closing brace", AT, payload)


class StoreContract(ABC):
    """Subclass it and return from `open_store` a function that opens the same store again."""

    @abstractmethod
    def opener(self, tmp_path_factory: pytest.TempPathFactory) -> Open:
        """Return a function that opens one store, which is empty at first."""

    @pytest.fixture
    def reopen(self, tmp_path_factory: pytest.TempPathFactory) -> Open:
        """Return a function that opens the test's store once more, after a close."""
        return self.opener(tmp_path_factory)

    @pytest.fixture
    def store(self, reopen: Open) -> Iterator[Store]:
        """Return an empty store."""
        store = reopen()
        yield store
        store.close()

    def test_an_empty_store(self, store: Store) -> None:
        """Nothing is known at first, and asking is no error."""
        assert dict(store.applied()) == {}
        assert store.standing(b"u", 0) == Standing(None, None, NOTHING_APPLIED, 0)
        assert list(store.transactions([b"t", b"s"])) == [None, None]
        assert list(store.users([])) == []
        with store.survey() as survey:
            assert (survey.catalog_revision, dict(survey.applied)) == (0, {})
            assert (surveyed(survey), surveyed_transactions(survey)) == ({}, {})
        assert list(store.audit(0, 10)) == []
        assert store.audit_end() == (0, None)
        assert store.counters() == Counters()
        assert store.catalog() == (0, None)
        assert list(store.quarantine(None, 10)) == []
        assert store.quarantined(0, 0) is None

    def test_a_change_is_read_back(self, store: Store) -> None:
        """Everything of a change is there after it, each under its key, in the order asked for."""
        store.commit(
            change(
                applied={0: Applied(4, AT)},
                transactions=entries((b"t2", b"two"), (b"t1", b"one"), user=b"u"),
                users=entries((b"v", b"figures of v"), (b"u", b"figures of u")),
                user_attributes=entries((b"u", b"attributes of u")),
                quarantined=[quarantined(0, 3)],
                counters=Counters(4, 1, 1, {"not_json": 1}, 5, AT),
            )
        )
        assert dict(store.applied()) == {0: Applied(4, AT)}
        assert list(store.transactions([b"t1", b"t3", b"t2"])) == [b"one", None, b"two"]
        assert list(store.users([b"u", b"v"])) == [b"figures of u", b"figures of v"]
        assert list(store.user_attributes([b"v", b"u"])) == [None, b"attributes of u"]
        assert store.standing(b"u", 0) == Standing(b"figures of u", b"attributes of u", Applied(4, AT), 0)
        assert store.standing(b"v", 0) == Standing(b"figures of v", None, Applied(4, AT), 0)
        assert store.standing(b"w", 1) == Standing(None, None, NOTHING_APPLIED, 0)
        assert user_records(store) == {b"u": b"figures of u", b"v": b"figures of v"}
        assert store.quarantined(0, 3) == quarantined(0, 3)
        assert store.counters() == Counters(4, 1, 1, {"not_json": 1}, 5, AT)

    def test_a_change_survives_reopening(self, store: Store, reopen: Open) -> None:
        """What was committed is there when the store is opened again."""
        store.commit(
            change(users=entries((b"u", b"figures")), transactions=entries((b"t", b"one"), user=b"u"))
        )
        store.put_catalog(0, b"catalog", {0: 4})
        store.close()
        again = reopen()
        assert again.standing(b"u", 0) == Standing(b"figures", None, Applied(4, AT), 1)
        assert list(again.transactions([b"t"])) == [b"one"]
        assert again.catalog() == (1, b"catalog")
        again.close()

    def test_a_record_is_replaced(self, store: Store) -> None:
        """A later change replaces records, and keeps those that it does not name."""
        store.commit(
            change(users=entries((b"u", b"old"), (b"v", b"kept")), counters=Counters(3, 1, 1, {"a": 1}, 4, 7))
        )
        store.commit(
            change(
                expected={0: Applied(4, AT)},
                applied={0: Applied(9, None)},
                users=entries((b"u", b"new"), u=b"old"),
                counters=Counters(5, 0, 1, {"a": 1, "b": 2}, 8, 9),
            )
        )
        assert list(store.users([b"u", b"v"])) == [b"new", b"kept"]
        assert store.counters() == Counters(8, 1, 2, {"a": 2, "b": 2}, 8, 9)
        assert dict(store.applied()) == {0: Applied(9, None)}

    def test_an_overtaken_worker_cannot_write(self, store: Store) -> None:
        """A change computed from another state of a partition is refused, and nothing of it is stored."""
        store.commit(change(users=entries((b"u", b"right"))))
        for expected in (NOTHING_APPLIED, Applied(3, AT), Applied(5, AT), Applied(4, AT + 1)):
            late = change(
                expected={1: NOTHING_APPLIED, 0: expected},
                applied={1: Applied(0, None), 0: Applied(9, AT)},
                users=entries((b"u", b"wrong"), u=b"right"),
                transactions=entries((b"t", b"wrong"), user=b"u"),
                quarantined=[quarantined(0, 9)],
                counters=Counters(1, 1, 1, {}, 1, 1),
            )
            with pytest.raises(Overtaken):
                store.commit(late)
        assert dict(store.applied()) == {0: Applied(4, AT)}
        assert list(store.users([b"u"])) == [b"right"]
        assert list(store.transactions([b"t"])) == [None]
        assert list(store.quarantine(None, 10)) == []
        assert store.counters() == Counters()

    def test_one_transaction_goes_to_one_user(self, store: Store) -> None:
        """Of two changes of different partitions that claim the same new transaction, the second is refused."""
        claimed = entries((b"t", b"first"), user=b"u")
        store.commit(change(transactions=claimed, users=entries((b"u", b"counted"))))
        late = change(
            expected={1: NOTHING_APPLIED},
            applied={1: Applied(0, AT)},
            transactions=entries((b"t", b"second"), user=b"v"),
            users=entries((b"v", b"counted twice")),
        )
        with pytest.raises(Overtaken):
            store.commit(replace(late, user_partitions={b"v": 1}))
        assert list(store.transactions([b"t"])) == [b"first"]
        assert list(store.users([b"v"])) == [None]
        assert dict(store.applied()) == {0: Applied(4, AT)}

    @pytest.mark.parametrize("kind", ["transactions", "users", "user_attributes"])
    def test_a_record_that_was_replaced_is_guarded(self, store: Store, kind: str) -> None:
        """A change that was computed from another record than the stored one is refused, and it stays."""
        store.commit(change(**{kind: entries((b"u", b"stored"))}))
        for before in (dict[str, bytes](), {"u": b"older"}):
            late = change(
                expected={0: Applied(4, AT)},
                applied={0: Applied(5, AT)},
                **{kind: entries((b"u", b"wrong"), **before)},
            )
            with pytest.raises(Overtaken):
                store.commit(late)
        assert dict(store.applied()) == {0: Applied(4, AT)}

    def test_partitions_advance_on_their_own(self, store: Store) -> None:
        """A change guards the partitions that it names, and no others."""
        store.commit(change())
        store.commit(change(expected={1: NOTHING_APPLIED}, applied={1: Applied(0, None)}))
        assert dict(store.applied()) == {0: Applied(4, AT), 1: Applied(0, None)}

    def test_what_is_reached_is_applied(self, store: Store) -> None:
        """Without a change under way, what is reached is what is applied."""
        store.commit(change())
        assert dict(store.reached()) == {0: 4}

    def test_the_positions_belong_to_one_log(self, store: Store, reopen: Open) -> None:
        """The first log that a store is bound to stays until a reset; another one is told which it is."""
        first, second = BoundLog("first", 4), BoundLog("second", 4)
        assert store.bound() is None
        assert store.bind(first) == first
        assert store.bind(second) == first
        store.close()
        again = reopen()
        assert again.bound() == first
        again.reset(b"catalog")
        assert again.bound() is None
        assert again.bind(second) == second
        again.close()

    def test_the_catalog_has_a_revision(self, store: Store) -> None:
        """Each catalog raises the revision; one based on another revision is refused."""
        store.put_catalog(0, b"one", {})
        store.put_catalog(1, b"two", {})
        with pytest.raises(Overtaken):
            store.put_catalog(1, b"three", {})
        assert store.catalog() == (2, b"two")
        assert store.standing(b"u", 0).catalog_revision == 2

    def test_a_catalog_starts_where_it_says(self, store: Store) -> None:
        """A catalog whose author saw another state of the partitions is refused."""
        store.commit(change())
        for seen in ({}, {0: 3}, {0: 4, 1: 0}):
            with pytest.raises(Overtaken):
                store.put_catalog(0, b"one", seen)
        store.put_catalog(0, b"one", {0: 4})
        assert store.catalog() == (1, b"one")

    def test_a_change_under_an_older_catalog_is_refused(self, store: Store) -> None:
        """A change computed with rules that have been replaced is refused."""
        store.put_catalog(0, b"one", {})
        with pytest.raises(Overtaken):
            store.commit(change(users=entries((b"u", b"wrong"))))
        store.commit(change(catalog_revision=1, users=entries((b"u", b"right"))))
        assert list(store.users([b"u"])) == [b"right"]

    def test_quarantine_is_paged_in_order(self, store: Store) -> None:
        """Quarantined events come by partition and offset, page after page, with their bytes."""
        events = [quarantined(p, o, bytes([p, o % 256]) * 1000) for p in (0, 1) for o in (0, 2, 255, 256)]
        before, after = dict.fromkeys((0, 1), NOTHING_APPLIED), dict.fromkeys((0, 1), Applied(256, AT))
        store.commit(change(expected=before, applied=after, quarantined=list(reversed(events))))
        pages: list[Sequence[Quarantined]] = [store.quarantine(None, 3)]
        while pages[-1]:
            last = pages[-1][-1]
            pages.append(store.quarantine((last.partition, last.offset), 3))
        assert [len(page) for page in pages] == [3, 3, 2, 0]
        assert [event for page in pages for event in page] == events

    def test_release(self, store: Store) -> None:
        """Released events are gone; releasing what is not there counts nothing."""
        store.commit(change(quarantined=[quarantined(0, 1), quarantined(0, 2)]))
        assert store.release([(0, 1), (0, 7), (0, 1)]) == 1
        assert list(store.quarantine(None, 10)) == [quarantined(0, 2)]

    def test_quarantined_again(self, store: Store) -> None:
        """An event that is put into quarantine once more, without a position that moves, has the new reason."""
        store.commit(change(quarantined=[quarantined(0, 1), quarantined(0, 2)]))
        again = replace(quarantined(0, 1), reason="another", detail="told anew", payload=b"[")
        store.commit(Change(store.catalog()[0], {}, {}, quarantined=[again]))
        assert list(store.quarantine(None, 10)) == [again, quarantined(0, 2)]

    def test_reset(self, store: Store) -> None:
        """A reset forgets what came from the log, takes the given catalog, and fences older workers."""
        store.put_catalog(0, b"one", {})
        store.commit(
            change(
                catalog_revision=1,
                users=entries((b"u", b"figures")),
                transactions=entries((b"t", b"one"), user=b"u"),
                user_attributes=entries((b"u", b"attributes")),
                quarantined=[quarantined(0, 1)],
                counters=Counters(1, 1, 1, {}, 1, 1),
            )
        )
        store.reset(b"two")
        assert store.catalog() == (2, b"two")
        assert store.standing(b"u", 0) == Standing(None, None, NOTHING_APPLIED, 2)
        assert list(store.transactions([b"t"])) == [None]
        assert list(store.quarantine(None, 10)) == []
        assert store.counters() == Counters()
        with pytest.raises(Overtaken):
            store.commit(change(catalog_revision=1))
        store.commit(change(catalog_revision=2))

    def test_many_keys(self, store: Store) -> None:
        """Ten thousand records of a change are all there, whatever their order."""
        keys = [f"{place * 7919 % 10_007:05}".encode() for place in range(10_007)]
        store.commit(change(users=entries(*((key, key * 3) for key in keys))))
        assert list(store.users(keys)) == [key * 3 for key in keys]
        assert user_records(store) == {key: key * 3 for key in keys}

    def test_a_survey_has_every_record(self, store: Store) -> None:
        """Users with figures, with attributes or with both are there once, and so is every transaction."""
        figures = [b"%05d" % number for number in range(0, 9_000, 2)]
        attributes = [b"%05d" % number for number in (*range(0, 100, 3), *range(5_001, 5_100))]
        transactions = [b"t%05d" % number for number in range(4_500)]
        store.put_catalog(0, b"catalog", {})
        store.commit(
            change(
                catalog_revision=1,
                users=entries(*((key, b"f" + key) for key in figures)),
                user_attributes=entries(*((key, b"a" + key) for key in attributes)),
                transactions=Entries(
                    transactions, [None] * 4_500, [b"h" + key for key in transactions], figures
                ),
            )
        )
        with store.survey() as survey:
            assert (survey.catalog_revision, dict(survey.applied)) == (1, {0: 4})
            users = surveyed(survey)
            assert surveyed_transactions(survey) == {key: b"h" + key for key in transactions}
        assert {key: user.figures for key, user in users.items() if user.figures is not None} == {
            key: b"f" + key for key in figures
        }
        assert {key: user.attributes for key, user in users.items() if user.attributes is not None} == {
            key: b"a" + key for key in attributes
        }
        assert users.keys() == {*figures, *attributes}
        assert all(max(user.offset, survey.applied[0]) == 4 for user in users.values())

    def test_a_survey_while_changes_are_committed(self, store: Store) -> None:
        """Each user's record is of the events up to the offset that it comes with, whatever is committed."""
        users = [b"u%d" % number for number in range(300)]

        def step(before: int, after: int) -> None:
            was = None if before < 0 else b"%d" % before
            moved = Entries(users, [was] * 300, [b"%d" % after] * 300, users)
            store.commit(
                change(
                    expected={0: NOTHING_APPLIED if before < 0 else Applied(before, AT)},
                    applied={0: Applied(after, AT)},
                    users=moved,
                    transactions=moved._replace(keys=[b"t" + user for user in users]),
                )
            )

        step(-1, 4)
        with store.survey() as survey:
            step(4, 9)
            chunks = survey.users()
            seen = list(next(chunks))
            step(9, 12)
            seen += [user for chunk in chunks for user in chunk]
            assert {user.user_id for user in seen} == set(users)
            for user in seen:
                assert user.figures == b"%d" % max(user.offset, survey.applied[0])
            histories = surveyed_transactions(survey)
            assert histories.keys() == {b"t" + user for user in users}
            assert all(int(record) >= survey.applied[0] for record in histories.values())
        assert dict(survey.applied) == {0: 4}
        assert set(user_records(store).values()) == {b"12"}

    @pytest.mark.parametrize("kind", ["transactions", "users", "user_attributes"])
    def test_a_record_is_removed(self, store: Store, kind: str) -> None:
        """A record is removed if it is the expected one; then it is as if it had never been there."""

        def read() -> list[bytes | None]:
            return list(getattr(store, kind)([b"u", b"v"]))

        store.commit(change(**{kind: entries((b"u", b"stored"), (b"v", b"kept"))}))
        late = change(expected={0: Applied(4, AT)}, applied={0: Applied(5, AT)})
        for removal in (
            entries((b"u", None)),
            entries((b"u", None), u=b"older"),
            entries((b"w", None), w=b"x"),
        ):
            with pytest.raises(Overtaken):
                store.commit(replace(late, user_partitions={b"u": 0, b"w": 0}, **{kind: removal}))
        assert read() == [b"stored", b"kept"]
        store.commit(
            replace(
                late,
                user_partitions={b"u": 0, b"w": 0},
                **{kind: entries((b"u", None), (b"w", None), u=b"stored")},
            )
        )
        assert read() == [None, b"kept"]
        with store.survey() as survey:
            found = surveyed_transactions(survey) if kind == "transactions" else surveyed(survey)
            assert list(found) == [b"v"]
        store.commit(
            change(
                expected={0: Applied(5, AT)}, applied={0: Applied(6, AT)}, **{kind: entries((b"u", b"again"))}
            )
        )
        assert read() == [b"again", b"kept"]

    def test_a_user_loses_one_kind_of_record(self, store: Store) -> None:
        """Removing a user's figures leaves the attributes as they are, and the other way around."""
        users = [b"u", b"v", b"w", b"x"]
        both = entries(*((user, b"old") for user in users))
        store.commit(change(users=both, user_attributes=both))
        was = {user.decode(): b"old" for user in users}
        store.commit(
            change(
                expected={0: Applied(4, AT)},
                applied={0: Applied(5, AT)},
                users=entries((b"u", None), (b"w", None), **was),
                user_attributes=entries((b"v", None), (b"w", None), (b"x", b"new"), **was),
            )
        )
        with store.survey() as survey:
            found = surveyed(survey)
        assert {key: user[1:3] for key, user in found.items()} == {
            b"u": (None, b"old"),
            b"v": (b"old", None),
            b"x": (b"old", b"new"),
        }
        store.commit(
            change(
                expected={0: Applied(5, AT)},
                applied={0: Applied(6, AT)},
                users=entries((b"v", None), v=b"old"),
            )
        )
        assert list(store.users([b"u", b"v", b"x"])) == [None, None, b"old"]
        with store.survey() as survey:
            assert surveyed(survey).keys() == {b"u", b"x"}

    def test_a_change_without_positions(self, store: Store) -> None:
        """A correction moves no position; it is guarded by the records that it replaces, and by the catalog."""
        store.commit(change(users=entries((b"u", b"wrong"), (b"v", b"kept"))))
        correction = change(
            expected={}, applied={}, users=entries((b"u", b"right"), (b"v", None), u=b"wrong", v=b"kept")
        )
        store.commit(correction)
        assert list(store.users([b"u", b"v"])) == [b"right", None]
        assert dict(store.applied()) == {0: Applied(4, AT)}
        late = replace(correction, users=entries((b"u", b"another"), u=b"wrong"))
        for refused in (late, replace(correction, catalog_revision=7)):
            with pytest.raises(Overtaken):
                store.commit(refused)
        assert list(store.users([b"u", b"v"])) == [b"right", None]

    def test_the_audit_list(self, store: Store, reopen: Open) -> None:
        """Entries stand in the order in which they came, without a gap, and are never replaced."""
        records = [b"entry %d" % number for number in range(1, 301)]
        for number, record in enumerate(records):
            store.record_audit(number, record)
        for expected in (0, 299, 301):
            with pytest.raises(Overtaken):
                store.record_audit(expected, b"another")
        assert store.audit_end() == (300, b"entry 300")
        assert list(store.audit(0, 1_000)) == records
        assert list(store.audit(255, 3)) == records[255:258]
        assert list(store.audit(299, 3)) == records[299:]
        assert list(store.audit(300, 3)) == []
        store.close()
        again = reopen()
        again.reset(b"catalog")
        assert list(again.audit(0, 1_000)) == records
        again.record_audit(300, b"after the reset")
        assert again.audit_end() == (301, b"after the reset")
        again.close()

    def test_a_catalog_with_an_audit_entry(self, store: Store) -> None:
        """The catalog and its entry are stored together, or neither is."""
        store.put_catalog(0, b"one", {}, (0, b"first"))
        assert (store.catalog(), store.audit_end()) == ((1, b"one"), (1, b"first"))
        for revision, reached, expected in ((1, {}, 0), (1, {}, 2), (0, {}, 1), (1, {0: 3}, 1)):
            with pytest.raises(Overtaken):
                store.put_catalog(revision, b"two", reached, (expected, b"second"))
        assert (store.catalog(), store.audit_end()) == ((1, b"one"), (1, b"first"))
        store.put_catalog(1, b"two", {}, (1, b"second"))
        assert (store.catalog(), list(store.audit(0, 10))) == ((2, b"two"), [b"first", b"second"])

    def test_a_catalog_wherever_the_partitions_are(self, store: Store) -> None:
        """A catalog that does not depend on the positions is not refused because of them, but fences as always."""
        store.commit(change())
        store.put_catalog(0, b"one", None)
        with pytest.raises(Overtaken):
            store.put_catalog(0, b"two", None)
        assert store.catalog() == (1, b"one")
        late = change(expected={0: Applied(4, AT)}, applied={0: Applied(5, AT)})
        with pytest.raises(Overtaken):
            store.commit(late)
        store.commit(replace(late, catalog_revision=1))

    def test_a_change_with_an_audit_entry(self, store: Store) -> None:
        """A change and its entry are stored together; a change whose entry came too late leaves no trace."""
        store.record_audit(0, b"first")
        first = change(users=entries((b"u", b"figures")), audit=(0, b"second"))
        with pytest.raises(Overtaken):
            store.commit(first)
        assert (list(store.users([b"u"])), dict(store.applied())) == ([None], {})
        store.commit(replace(first, audit=(1, b"second")))
        assert list(store.audit(0, 10)) == [b"first", b"second"]
        assert (list(store.users([b"u"])), dict(store.applied())) == ([b"figures"], {0: Applied(4, AT)})
        store.commit(change(expected={}, applied={}, users=entries((b"v", b"figures")), audit=(2, b"third")))
        assert store.audit_end() == (3, b"third")
        assert list(store.users([b"v"])) == [b"figures"]
