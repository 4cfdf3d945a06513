"""Odd and broken clips as they occur in real folders, made by PyAV; each with what has to become of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from odd_writers import (
    FPS,
    NUM_FRAMES,
    content,
    encode,
    enormous,
    interlaced,
    linked,
    narrow,
    picture,
    scene,
    shortened,
    sound_only,
    turned,
    with_broken_table,
    with_packets_of_noise,
    without_index,
    zipped,
)

NAMES = {
    "a name in letters of all kinds": "日本 – naïve 🎈.mp4",
    "a name of bytes that are not UTF-8": os.fsdecode(b"caf\xe9.mp4"),
    "a name with a line break": "two\nlines.mp4",
    "a name that looks like an address": "http:clip.mp4",
    "a name that looks like a pattern": "%03d.mp4",
    "a name that looks like a flag": "-i.mp4",
    "a name with quotes and spaces": 'it\'s "one" clip.mp4',
    "a name of 250 letters": "n" * 246 + ".mp4",
}
"""Names of whole clips."""

CAPTIONS = {
    "with a byte order mark": ("bom", b"\xef\xbb\xbfa ball", "a ball"),
    "with Windows line ends, several lines": ("crlf", b"a ball\r\nfalls\r\n", "a ball falls"),
    "with emoji": ("emoji", "a ball 🎈 fällt".encode(), "a ball 🎈 fällt"),
    "with a quotation mark and a comma": ("quote", b'a "ball", falling', 'a "ball", falling'),
    "of 100,000 letters (the text encoder takes its beginning)": (
        "long",
        b"ball " * 20000,
        ("ball " * 20000).strip(),
    ),
    "in UTF-16": ("utf16", "a ball".encode("utf-16"), None),
    "in Latin-1": ("latin1", "Bäche".encode("latin-1"), None),
    "empty": ("blank", b" \r\n", None),
    "missing": ("without", None, None),
}
"""Captions: name of the clip, bytes of the file, and how it is read; None: the clip is listed with its reason."""

USED = "used"


class Odd(NamedTuple):
    """A file and what becomes of it.

    Attributes:
        name: Of the clip.
        what: In words, for the table in docs/data.md.
        outcome: `USED`, or a part of the reason for which it is listed.
        make: Writes it.
    """

    name: str
    what: str
    outcome: str
    make: Callable[[Path], object]


TIMES_S = [0.0, *(i / FPS + (0.01 if i % 2 else -0.01) for i in range(1, NUM_FRAMES))]
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nplain.mp4\n#EXT-X-ENDLIST\n"
SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"

FILES = [
    Odd("plain.mp4", "H.264 in MP4", USED, encode),
    Odd("UPPER.MP4", "suffix in upper case", USED, partial(encode, options={"crf": "10"}, form="mp4")),
    Odd("apple.m4v", "M4V", USED, partial(encode, codec="mpeg4", form="mp4")),
    Odd("quick.mov", "MOV", USED, encode),
    Odd("matroska.mkv", "Matroska", USED, encode),
    Odd(
        "vp9.webm",
        "WebM, VP9",
        USED,
        partial(encode, codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"}),
    ),
    Odd("xvid.avi", "AVI, MPEG-4", USED, partial(encode, codec="mpeg4")),
    Odd("animated.gif", "animated GIF", USED, partial(encode, codec="gif", pix_fmt="rgb8")),
    Odd("stream.ts", "MPEG transport stream", USED, encode),
    Odd(
        "program.mpg",
        "MPEG-2, 24 fps",
        USED,
        partial(encode, frames=np.repeat(scene(), 3, 0), codec="mpeg2video", fps=24),
    ),
    Odd("media.wmv", "WMV", USED, partial(encode, codec="wmv2")),
    Odd("flash.flv", "FLV", USED, partial(encode, codec="flv1")),
    Odd("phone.3gp", "3GP", USED, partial(encode, codec="mpeg4")),
    Odd(
        "hevc.mp4",
        "HEVC",
        USED,
        partial(
            encode, codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}
        ),
    ),
    Odd(
        "av1.mp4",
        "AV1",
        USED,
        partial(
            encode, frames=scene(64, 96), codec="libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"}
        ),
    ),
    Odd(
        "prores.mov", "ProRes, 4:2:2, 10 bit", USED, partial(encode, codec="prores_ks", pix_fmt="yuv422p10le")
    ),
    Odd("motion.avi", "Motion JPEG", USED, partial(encode, codec="mjpeg", pix_fmt="yuvj420p")),
    Odd("lossless.mkv", "FFV1, lossless", USED, partial(encode, codec="ffv1")),
    Odd("yuv422.mp4", "4:2:2", USED, partial(encode, pix_fmt="yuv422p")),
    Odd("yuv444.mp4", "4:4:4", USED, partial(encode, pix_fmt="yuv444p")),
    Odd("ten_bit.mp4", "10 bit", USED, partial(encode, pix_fmt="yuv420p10le")),
    Odd("rgb.mkv", "RGB stored as such", USED, partial(encode, codec="libx264rgb", pix_fmt="rgb24")),
    Odd("full_range.mp4", "full range of levels", USED, partial(encode, pix_fmt="yuvj420p")),
    Odd("alpha.mov", "with an alpha channel (left out)", USED, partial(encode, codec="png", pix_fmt="rgba")),
    Odd(
        "alpha_web.webm",
        "WebM with an alpha channel",
        USED,
        partial(
            encode,
            codec="libvpx-vp9",
            pix_fmt="yuva420p",
            options={"cpu-used": "8", "deadline": "realtime", "auto-alt-ref": "0"},
        ),
    ),
    Odd(
        "turned.mp4",
        "turned by its metadata, 90°",
        USED,
        partial(turned, matrix=(0, 1, -1, 0), turn=lambda v: np.rot90(v, 1, (1, 2))),
    ),
    Odd(
        "upside.mp4",
        "turned by its metadata, 180°",
        USED,
        partial(turned, matrix=(-1, 0, 0, -1), turn=lambda v: v[:, ::-1, ::-1]),
    ),
    Odd(
        "mirrored.mp4",
        "mirrored by its metadata",
        USED,
        partial(turned, matrix=(-1, 0, 0, 1), turn=lambda v: v[:, :, ::-1]),
    ),
    Odd("narrow.mp4", "pixels twice as wide as high", USED, narrow),
    Odd("interlaced.mp4", "interlaced (fields are not separated)", USED, interlaced),
    Odd("variable.mkv", "variable frame rate", USED, partial(encode, times_s=TIMES_S)),
    Odd("late.mkv", "time stamps that start at 5 s", USED, partial(encode, times_s=[5 + t for t in TIMES_S])),
    Odd(
        "negative.mp4",
        "negative time stamps, an edit list",
        USED,
        partial(encode, frames=np.concatenate([scene()[:3], scene()]), shift=-3),
    ),
    Odd(
        "reordered.mp4",
        "B frames",
        USED,
        partial(encode, options={"preset": "medium", "bf": "3", "crf": "12"}),
    ),
    Odd("fast.mp4", "120 fps", USED, partial(encode, frames=np.repeat(scene(), 15, 0), fps=120)),
    Odd(
        "fragmented.mp4",
        "fragmented MP4",
        USED,
        partial(encode, muxer={"movflags": "frag_keyframe+empty_moov"}),
    ),
    Odd(
        "bare.mpeg",
        "bare H.264 without a frame rate (taken to have that of the bucket)",
        USED,
        partial(encode, form="h264"),
    ),
    Odd(
        "wrong_suffix.avi",
        "an MP4 that is called AVI",
        USED,
        partial(encode, options={"crf": "11"}, form="mp4"),
    ),
    Odd("sound.mp4", "with sound (ignored)", USED, partial(encode, sound=True)),
    Odd("two_streams.mkv", "two video streams (the first is used)", USED, partial(encode, num_streams=2)),
    Odd("no_index.avi", "AVI whose index is lost", USED, without_index),
    Odd(
        "odd_size.mkv",
        "odd height and width",
        USED,
        partial(encode, frames=scene(49, 65), codec="ffv1", pix_fmt="yuv444p"),
    ),
    Odd(
        "small.mkv",
        "16 × 16 px (enlarged)",
        USED,
        partial(encode, frames=scene(16, 16), codec="ffv1", pix_fmt="yuv444p"),
    ),
    Odd("link.mp4", "symbolic link out of the folder (followed)", USED, linked),
    Odd("empty.mp4", "zero bytes", "an empty file", content(b"")),
    Odd("text.mp4", "text", "unreadable", content(b"this is no video\n" * 50)),
    Odd(
        "page.mp4",
        "a web page that says 404",
        "unreadable",
        content(b"<!DOCTYPE html><html><body>404</body></html>" * 9),
    ),
    Odd(
        "pointer.mp4",
        "a Git LFS pointer",
        "Git LFS",
        content(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"),
    ),
    Odd("zeros.mp4", "zero bytes of a sparse download", "unreadable", content(bytes(5000))),
    Odd("archive.mp4", "a zip", "unreadable", zipped),
    Odd("playlist.mp4", "a playlist (HLS) of other files", "unreadable", content(PLAYLIST)),
    Odd(
        "script.mp4",
        "an FFmpeg script of other files",
        "a playlist of other files",
        content(b"ffconcat version 1.0\nfile plain.mp4\n"),
    ),
    Odd("session.mp4", "the description of a network stream (SDP)", "unreadable", content(SDP)),
    Odd("jpeg.mp4", "a JPEG", "at least 5 frames", picture),
    Odd("one_frame.mp4", "one frame", "at least 5 frames", partial(encode, frames=scene()[:1])),
    Odd("sound_only.mp4", "sound only", "a video stream", sound_only),
    Odd("cut.mp4", "truncated, index at the end", "unreadable or truncated", partial(shortened, share=0.6)),
    Odd(
        "cut_front.mp4",
        "truncated, index in front",
        "truncated",
        partial(shortened, share=0.6, muxer={"movflags": "+faststart"}),
    ),
    Odd("cut_matroska.mkv", "truncated Matroska", "truncated", partial(shortened, share=0.5)),
    Odd("cut_old.avi", "truncated AVI", "truncated", partial(shortened, share=0.5, codec="mpeg4")),
    Odd("damaged.mp4", "bytes of the pictures changed", "truncated or damaged", with_packets_of_noise),
    Odd("broken_table.mp4", "broken table of samples", "truncated", with_broken_table),
    Odd("enormous.mov", "9000 × 9000 px", "frames of 67,108,864 px at most", enormous),
    Odd(
        "jump.mkv",
        "a time stamp that jumps by a month",
        "time stamps",
        partial(encode, times_s=[*TIMES_S[:-1], 2.6e6]),
    ),
    Odd("absent.mp4", "a link to nothing", "no such file", lambda path: path.symlink_to("nowhere.mp4")),
    Odd("pipe.mp4", "a named pipe", "no plain file", lambda path: os.mkfifo(path)),
]


class Fault(NamedTuple):
    """Bad input that is no file of its own, or what interrupts a run, and what becomes of it.

    Attributes:
        what: In words, for the tables in docs/data.md.
        outcome: In words.
        test: File and name of the test that shows it.
    """

    what: str
    outcome: str
    test: str


FAULTS = [
    Fault(
        "the same bytes and caption as another clip",
        "listed: the same bytes and caption",
        "test_odd_files.py::test_every_clip_is_either_used_or_listed_and_nothing_is_written_outside_of_the_folder",
    ),
    Fault(
        "a second row of a table for one clip",
        "listed: a second entry",
        "test_layouts.py::test_a_row_that_names_no_clip_is_listed_with_its_reason",
    ),
    Fault(
        "a tar's member `../clip.mp4`, an absolute one, or a link",
        "listed; nothing is unpacked",
        "test_layouts.py::test_members_that_lead_out_of_a_tar_are_not_read_and_nothing_is_written",
    ),
    Fault(
        "a compressed or damaged tar",
        "listed",
        "test_layouts.py::test_a_compressed_or_damaged_tar_is_listed",
    ),
    Fault(
        "a file whose decoder hangs",
        "listed after the time limit (`--time-limit`)",
        "test_workers.py::test_a_task_that_hangs_or_kills_its_process_is_set_aside_and_one_death_is_forgiven",
    ),
    Fault(
        "a file that kills its process",
        "read once more; listed after the second death",
        "test_workers.py::test_a_task_that_hangs_or_kills_its_process_is_set_aside_and_one_death_is_forgiven",
    ),
]
"""Rows of the table of files that tests of their own make."""

INTERRUPTIONS = [
    Fault(
        "kill −9 at 20 random times",
        "the same command goes on: the same bytes in the end, no clip lost or doubled",
        "test_prepare_folder.py::test_killed_at_twenty_points_it_ends_with_the_same_bytes",
    ),
    Fault(
        "two runs of one command at once",
        "the first writes; the second stops and names the first's process, or starts later and makes nothing",
        "test_prepare_folder.py::test_two_preparers_at_once_end_with_the_bytes_of_one",
    ),
    Fault(
        "several shares (`--shard I/N`) at once",
        "each makes its own shards; the folder has the bytes of one process",
        "test_prepare_folder.py::test_two_shares_at_once_make_the_folder_together",
    ),
    Fault(
        "disk full",
        "the run stops with the file's name and leaves no half file; once there is room, the same command goes on",
        "test_prepare_folder.py::test_a_full_disk_leaves_no_half_file_and_the_next_run_ends_with_the_same_bytes",
    ),
    Fault(
        "a shard with other bytes, or cut short",
        "refused by its name; once it is deleted, the same command makes it again",
        "test_prepare_folder.py::test_a_damaged_shard_is_refused_by_its_name_and_made_again_once_deleted",
    ),
    Fault(
        "other settings, captions or clips",
        "refused by the name of what differs; nothing is changed",
        "test_prepare_folder.py::test_a_second_run_makes_nothing_and_other_settings_or_clips_are_refused_by_name",
    ),
    Fault(
        "training before the last shard is there",
        "refused by the number of the missing shard",
        "test_prepare_folder.py::test_an_unfinished_folder_is_not_trained_on",
    ),
    Fault(
        "training with another base, motion code or text length",
        "refused by the name of what differs",
        "test_prepare_folder.py::test_training_refuses_another_motion_code_or_model_by_name",
    ),
    Fault(
        "image-to-video training on a folder without first frames",
        "refused with the flag that keeps them",
        "test_prepared_images.py::test_a_folder_without_first_frames_is_refused_with_the_flag_that_keeps_them",
    ),
    Fault(
        "OUT is a folder with other files",
        "refused; nothing is written to it",
        "test_prepare_folder.py::test_a_folder_with_other_files_is_not_written_to",
    ),
    Fault(
        "the worker of a Ray task dies",
        "the task is tried once more elsewhere; the clip is listed after the second death",
        "test_ray.py::test_a_worker_that_dies_is_retried_and_a_clip_that_kills_two_is_set_aside",
    ),
]
"""Rows of the table of what interrupts a run."""


def interruptions() -> str:
    """Return the second table of docs/data.md."""
    return "\n".join(f"| {fault.what} | {fault.outcome} |" for fault in INTERRUPTIONS)


def table() -> str:
    """Return the first table of docs/data.md."""
    used = [odd.what for odd in FILES if odd.outcome == USED]
    listed = [(odd.what, odd.outcome) for odd in FILES if odd.outcome != USED]
    rows = [f"| {what} | used |" for what in used]
    rows += [f"| {what} | used |" for what in NAMES]
    rows += [
        f"| caption {what} | {'listed' if line is None else 'used'} |"
        for what, (_, _, line) in CAPTIONS.items()
    ]
    rows += [f"| {what} | listed: {outcome} |" for what, outcome in listed]
    rows += [f"| {fault.what} | {fault.outcome} |" for fault in FAULTS]
    return "\n".join(rows)
