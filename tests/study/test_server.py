"""The server, by real HTTP clients against a process of its own."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter

import pytest
from tests_study_clips import Client, served

from videojam.errors import VideoJamError
from videojam.study.assign import next_assignment
from videojam.study.config import StudyConfig, load_study
from videojam.study.database import Database, backup
from videojam.study.limit import JoinLimit
from videojam.study.raters import Rater, completion, invite, rater_of
from videojam.study.refusal import RefusedError
from videojam.study.report import write_report
from videojam.study.votes import take_vote

CLIP_S = 0.31
"""After which a vote on clips of a third of a second is taken."""
ANSWERS = {"text_faithfulness": "left", "quality": "right", "motion": "left"}


def joined(port: int, **query: str) -> Client:
    client = Client(port)
    client.token = client.call("join", {"query": query})["token"]
    return client


def rate(client: Client, most: int = 100, shuffled: frozenset[str] = frozenset()) -> list[dict]:
    """Vote until nothing is left, in checks against the clips named; returns what was voted on."""
    seen = []
    while len(seen) < most and (given := client.call("next")["assignment"]):
        time.sleep(CLIP_S)
        motion = "right" if given["left"] in shuffled else "left"
        client.call("vote", {"assignment": given["id"], "answers": ANSWERS | {"motion": motion}})
        seen.append(given)
    return seen


def test_a_session_from_joining_to_the_code(open_server):
    folder, port = open_server
    client = joined(port)
    shuffled = frozenset(f"/clips/{check.clips[1]}.mp4" for check in load_study(folder).checks)
    seen = rate(client, shuffled=shuffled)
    # practice, four pairs, a check, a repeat with sides flipped
    assert [given["practice"] for given in seen] == [True] + [False] * 6
    shown = [(given["left"], given["right"]) for given in seen]
    assert sum(pair[::-1] in shown for pair in shown) == 2
    done = client.call("next")
    assert done["assignment"] is None
    assert len(done["completion"]["code"]) == 8
    assert done["progress"] == {"done": 7, "total": 7}
    results = write_report(folder)  # while the server runs
    assert results.num_votes >= 4
    text = json.dumps(seen) + json.dumps(done)
    assert "ours" not in text
    assert "base" not in text


def test_what_is_refused(open_server):
    _, port = open_server
    client, other = joined(port), joined(port)
    assert client.ask("/api/next", {}, authorization="Bearer forged")[0] == 401
    assert Client(port).ask("/api/next", {})[0] == 401
    given = client.call("next")["assignment"]
    vote = {"assignment": given["id"], "answers": ANSWERS}
    status, body, _ = client.ask("/api/vote", vote)
    assert (status, b"to the end" in body) == (425, True)  # before the clips can have played
    time.sleep(CLIP_S)
    assert other.ask("/api/vote", vote)[0] == 403  # given to somebody else
    assert client.ask("/api/vote", vote | {"assignment": "x"})[0] == 403
    for answers in ({}, {"motion": "left"}, ANSWERS | {"motion": "up"}, ANSWERS | {"more": "left"}):
        assert client.ask("/api/vote", vote | {"answers": answers})[0] == 400
    assert client.ask("/api/vote", b'{"assignment": "\\ud800", "answers": {}}')[0] == 400
    assert client.ask("/api/join", b'{"query": {"PROLIFIC_PID": "\\ud800", "SESSION_ID": "s"}}')[0] == 400
    for body in (b"[]", b"{", b"[" * 9000, json.dumps({"assignment": 1, "answers": {}}).encode()):
        assert client.ask("/api/vote", body)[0] == 400
    assert client.ask("/api/vote", b" " * 20_000)[0] == 413
    assert client.call("vote", vote)["taken"]
    assert client.call("vote", vote)["taken"]  # the same once more: the answer was lost on its way
    changed = ANSWERS | {"motion": "right"}
    assert client.ask("/api/vote", vote | {"answers": changed})[0] == 409
    for path in (
        "/clips/../study.json", "/clips/..%2fstudy.json", "/clips/%2e%2e/votes.sqlite", "/study.json", "/clips/",
        "/clips/....//study.json", "/votes.sqlite", "/clips/x.mp4", "//etc/passwd", "/page.py",
    ):  # fmt: skip
        assert client.ask(path)[0] == 404, path
    assert client.ask("/api/vote", method="GET")[0] == 405


def test_an_oversized_body_without_a_length_is_refused(open_server):
    import http.client

    _, port = open_server
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/api/study", iter([b" " * 8000] * 10), encode_chunked=True,
                       headers={"transfer-encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().status == 413
    connection.close()


def test_clips_come_in_ranges_and_pages_with_a_policy(open_server):
    _, port = open_server
    client = joined(port)
    clip = client.call("next")["assignment"]["left"]
    status, whole, headers = client.ask(clip)
    assert (status, headers["content-type"], headers["accept-ranges"]) == (200, "video/mp4", "bytes")
    status, part, headers = client.ask(clip, range="bytes=10-19")
    assert (status, part, headers["content-range"]) == (206, whole[10:20], f"bytes 10-19/{len(whole)}")
    assert client.ask(clip, range="bytes=99999999-")[0] == 416
    status, page, headers = client.ask("/")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"http://" not in page
    assert b"https://" not in page


def test_people_of_a_crowd_come_back_by_their_session_and_take_part_once(open_server):
    _, port = open_server
    client = joined(port, PROLIFIC_PID="p1", SESSION_ID="s1", STUDY_ID="x")
    first = client.call("next")["assignment"]["id"]
    again = joined(port, PROLIFIC_PID="p1", SESSION_ID="s1")
    assert again.call("next")["assignment"]["id"] == first
    assert client.ask("/api/next", {})[0] == 401  # the older token is void
    status, body, _ = Client(port).ask("/api/join", {"query": {"PROLIFIC_PID": "p1", "SESSION_ID": "guess"}})
    assert (status, b"took part" in body) == (403, True)
    preview = {"workerId": "w", "assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE"}
    assert Client(port).ask("/api/join", {"query": preview})[0] == 403
    assert Client(port).ask("/api/join", {"query": {"workerId": "w" * 999, "assignmentId": "a"}})[0] == 400
    assert joined(port, workerId="w", assignmentId="a").call("next")["assignment"]


def test_deleted_data_is_gone_from_the_files(open_server):
    folder, port = open_server
    client = joined(port, PROLIFIC_PID="person-to-forget", SESSION_ID="s")
    rate(client, 1)
    assert client.call("delete") == {"deleted": True}
    assert client.ask("/api/next", {})[0] == 410
    for path in folder.glob("votes.sqlite*"):
        assert b"person-to-forget" not in path.read_bytes()


def test_links_consent_and_the_rate_limit(study_folder):
    database = Database.open(study_folder, load_study(study_folder))
    with database.write() as connection:
        token = invite(connection, "rater 1")
    database.close()
    with served(study_folder) as (_, port, said):
        assert "Only this machine" in "".join(said)
        assert Client(port).ask("/api/join", {})[0] == 403
        client = Client(port, token)
        assert client.call("study")["consented"] is False
        assert client.ask("/api/next", {})[0] == 403
        client.call("consent")
        assert client.call("next")["assignment"]["practice"]
        with pytest.raises(VideoJamError, match="no other run"), served_again(study_folder):
            pass


def test_addresses_of_one_connection_join_so_often_together():
    def allowed(*addresses: str) -> list[bool]:
        limit = JoinLimit(2)
        return [limit.allows(address) for address in addresses]

    assert allowed("a", "a", "a", "b") == [True, True, False, True]
    assert allowed("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:0:3::", "2001:db8:0:1::") == [
        True, True, False, True,
    ]  # fmt: skip
    assert allowed("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2") == [True, True, False, True]


def test_the_link_at_the_end_holds_the_code_as_a_part_of_an_address(made):
    study, rater = load_study(made), Rater(1, "C5AAA4AD", True)
    assert completion(study, rater) == ("C5AAA4AD", "https://example.org/done?cc=C5AAA4AD")
    config = study.config.model_copy(update={"completion_code": "A&b=1 #"})
    code, url = completion(study.model_copy(update={"config": config}), rater)
    assert (code, url) == ("A&b=1 #", "https://example.org/done?cc=A%26b%3D1%20%23")
    with pytest.raises(ValueError, match="https://"):
        StudyConfig(completion_url="javascript:alert(1)")


def served_again(folder):
    from videojam.study.serve import Listening, serve

    class Here:
        def __enter__(self):
            serve(folder, Listening(port=0), lambda line: None)

        def __exit__(self, *_):
            pass

    return Here()


def test_a_pair_whose_time_is_out_goes_to_others_and_an_excluded_raters_votes_are_asked_for_again(
    study_folder,
):
    study = load_study(study_folder)
    config = study.config.model_copy(update={"raters_per_pair": 1, "practice": False})
    study = study.model_copy(
        update={"config": config, "pairs": study.pairs[:1], "checks": (), "practice": None}
    )
    database = Database.open(study_folder, study)
    with database.write() as connection:
        first, second = (rater_of(connection, invite(connection, name)) for name in ("one", "two"))
        given = next_assignment(connection, study, first)
        assert next_assignment(connection, study, second) is None  # the only pair is open elsewhere
        connection.execute("UPDATE assignments SET expires_at = 0")
        other = next_assignment(connection, study, second)
        assert (other.pair.id, other.id != given.id) == (given.pair.id, True)
        connection.execute("UPDATE assignments SET voted_at = 1 WHERE id = ?", (other.id,))
        assert next_assignment(connection, study, first) is None
        with pytest.raises(RefusedError, match="time is out"):
            take_vote(connection, study, first, given.id, ANSWERS)
        with pytest.raises(RefusedError, match="not given to you"):
            take_vote(connection, study, first, other.id, ANSWERS)
        connection.execute("UPDATE raters SET excluded = 1 WHERE id = ?", (second.id,))
        assert next_assignment(connection, study, first).pair == given.pair
    database.close()


@pytest.mark.slow
def test_raters_at_once_fill_each_pair_evenly(made, tmp_path):
    """Six raters and four pairs of three votes: each pair gets three, each rater no pair twice."""
    import shutil

    folder = shutil.copytree(made, tmp_path / "study")
    shuffled = frozenset(f"/clips/{check.clips[1]}.mp4" for check in load_study(folder).checks)
    with served(folder, "--open", "--joins-per-hour", "100") as (_, port, _said):
        threads = [threading.Thread(target=lambda: rate(joined(port), shuffled=shuffled)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    with sqlite3.connect(folder / "votes.sqlite") as connection:
        rows = connection.execute(
            "SELECT pair, rater FROM assignments WHERE kind = 'pair' AND voted_at > 0"
        ).fetchall()
    assert len(set(rows)) == len(rows)
    assert set(Counter(pair for pair, _ in rows).values()) == {3}


@pytest.mark.slow
def test_a_killed_server_loses_no_acknowledged_vote(study_folder, tmp_path):
    with served(study_folder, "--open", "--joins-per-hour", "100") as (process, port, _):
        client = joined(port)
        given = client.call("next")["assignment"]
        time.sleep(CLIP_S)
        vote = {"assignment": given["id"], "answers": ANSWERS}
        client.call("vote", vote)
        process.kill()
        process.wait()
    with served(study_folder, "--open") as (_, port, _said):
        client.port = port
        assert client.call("vote", vote)["taken"]  # sent again by the page: still one vote
        copy = backup(study_folder, load_study(study_folder), tmp_path / "copy.sqlite")
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0] == 3


def test_votes_of_another_study_or_version_are_refused_by_name(study_folder, tmp_path):
    study = load_study(study_folder)
    with sqlite3.connect(study_folder / "votes.sqlite") as connection:
        connection.execute("UPDATE about SET value = 'abc' WHERE key = 'study'")
    connection.close()
    with pytest.raises(VideoJamError, match="the votes of study abc"):
        Database.open(study_folder, study)
    with sqlite3.connect(study_folder / "votes.sqlite") as connection:
        connection.execute("UPDATE about SET value = '9' WHERE key = 'format'")
    connection.close()
    with pytest.raises(VideoJamError, match="format 9"):
        Database.open(study_folder, study)
    (study_folder / "votes.sqlite").write_bytes(b"no database")
    with pytest.raises(VideoJamError, match="not a database"):
        Database.open(study_folder, study)
    with pytest.raises(VideoJamError, match="it exists"):
        backup(study_folder, study, study_folder / "study.json")
