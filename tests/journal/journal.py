#!/usr/bin/python3
"""Reads a journal of ringmill by docs/journal-format.md alone; shares nothing with the engine's own reader.

  journal.py DIRECTORY ENGINE_ID      prints a JSON line per record, then one with what was found; exit 1 on damage

ENGINE_ID is 16 hexadecimal digits. Needs python3-xxhash.
"""

import json
import os
import re
import struct
import sys
from dataclasses import dataclass, field

import xxhash

UNIT = 4096
MOST_BLOCK = 256 * 1024
MOST_PAYLOAD = 262008
MOST_STATE = 5
MOST_TAG = 31
PART = 32768
MOST_PARTED = 65536 * PART
HEAD = struct.Struct("<8sIIQQQQQQIIQ")
BLOCK = struct.Struct("<4sIQQQQQQIIIIIIQQ")


class Incompatible(Exception):
    """A newer format, or the journal of another engine."""


@dataclass
class Block:
    offset: int
    bytes: int
    segment: int
    number: int
    durable: int
    durable_end: int
    oldest: int
    epoch: int
    first_block: int
    previous_end: int
    record_bytes: int
    records: int


@dataclass
class Segment:
    slot: int
    data: bytes
    number: int
    epoch: int
    first_block: int
    previous_end: int
    right_head: bool


@dataclass
class Link:
    segment: Segment
    last: int
    end: int = UNIT
    blocks: list = field(default_factory=list)
    damage: list = field(default_factory=list)
    torn: bool = False


class Journal:
    def __init__(self, directory, engine_id):
        self.engine_id = engine_id
        self.oldest = 0
        self.segments = []
        slots = {}
        for name in os.listdir(directory):
            if re.fullmatch(r"[0-9]{4}\.segment", name):
                with open(os.path.join(directory, name), "rb") as file:
                    slots[int(name[:4])] = file.read()
        heads = {slot: self.right_head(data) for slot, data in sorted(slots.items())}
        for slot, data in sorted(slots.items()):
            self.add_candidate(slot, data, heads[slot])
        self.segments.sort(key=lambda s: (s.number, not s.right_head, -s.epoch, s.slot))
        self.segments = [s for n, s in enumerate(self.segments)
                         if n == 0 or self.segments[n - 1].number != s.number]

    # Rule 1

    def right_head(self, data):
        if len(data) < UNIT:
            return None
        (magic, version, units, engine, number, epoch, first_block, oldest, _, previous_end, _,
         checksum) = HEAD.unpack_from(data)
        if magic != b"ringjv01" or xxhash.xxh3_64_intdigest(data[:72]) != checksum:
            return None
        if version != 1:
            raise Incompatible(f"format {version}")
        if engine != self.engine_id:
            raise Incompatible(f"engine {engine:016x}")
        if number == 0 or first_block == 0 or oldest > number:
            return None
        self.oldest = max(self.oldest, oldest)
        return units * UNIT, number, epoch, first_block, previous_end * UNIT

    def add_candidate(self, slot, data, head):
        if head is not None:
            length, number, epoch, first_block, previous_end = head
            self.segments.append(Segment(slot, data[:length], number, epoch, first_block, previous_end, True))
            return
        blocks = self.right_blocks(data, None)
        if blocks:
            number = max(block.segment for block in blocks)
            first = next(block for block in blocks if block.segment == number)
            self.segments.append(
                Segment(slot, data, number, first.epoch, first.first_block, first.previous_end, False))

    # Rule 2

    def right_block(self, data, offset):
        (magic, length, engine, segment, number, durable, oldest, epoch, units, durable_end, previous_end, index,
         record_bytes, records, _, checksum) = BLOCK.unpack_from(data, offset)
        if magic != b"jBlk" or engine != self.engine_id or units * UNIT != offset:
            return None
        if length == 0 or length % UNIT != 0 or length > MOST_BLOCK or record_bytes > length - 96:
            return None
        if segment == 0 or number <= durable or oldest > segment or offset + length > len(data):
            return None
        if not 1 <= number - index <= durable + 1 or not UNIT <= durable_end * UNIT <= offset:
            return None
        seed = xxhash.xxh3_64_intdigest(data[offset:offset + 88])
        if xxhash.xxh3_64_intdigest(data[offset + 96:offset + length], seed=seed) != checksum:
            return None
        return Block(offset, length, segment, number, durable, durable_end * UNIT, oldest, epoch, number - index,
                     previous_end * UNIT, record_bytes, records)

    def right_blocks(self, data, segment):
        blocks = []
        offset = UNIT
        while offset + UNIT <= len(data):
            block = self.right_block(data, offset)
            if block is not None and segment in (None, block.segment):
                blocks.append(block)
                offset += block.bytes
            else:
                offset += UNIT
        return blocks

    # Rule 4

    def known(self, at, blocks):
        """The end of what is known to count, the number of the block that ends there, whose word that is (an epoch),
        and whether nothing behind it counts."""
        segment = self.segments[at]
        after = self.segments[at + 1] if at + 1 < len(self.segments) else None
        if after is not None and after.number == segment.number + 1:
            return max(after.previous_end, UNIT), after.first_block - 1, 0, True
        words = [(segment.epoch if segment.right_head else 0, segment.first_block - 1, UNIT)]
        words += [(block.epoch, block.durable, block.durable_end) for block in blocks]
        epoch, durable, end = max(words, key=lambda word: word[:2])
        return end, durable, epoch, False

    # Rules 5 to 9

    def marks_fit(self, segment, offset, number):
        if offset + UNIT > len(segment.data):
            return False
        magic, _, engine, in_segment, its_number, _, _, _, units = BLOCK.unpack_from(segment.data, offset)[:9]
        marks = (magic == b"jBlk", engine == self.engine_id, in_segment == segment.number, its_number == number,
                 units * UNIT == offset)
        return sum(marks) >= 4

    def add_damage(self, link, end):
        reason = "checksum" if self.marks_fit(link.segment, link.end, link.last + 1) else "lost"
        link.damage.append({"segment": link.segment.number, "offset": link.end, "bytes": end - link.end,
                            "reason": reason})

    @staticmethod
    def take(link, block):
        link.blocks.append(block)
        link.last, link.end = block.number, block.offset + block.bytes

    def is_begun(self, link, epoch):
        if self.marks_fit(link.segment, link.end, link.last + 1):
            return True
        for offset in range(link.end, len(link.segment.data) - UNIT + 1, UNIT):
            magic, _, engine, segment, number, _, _, its_epoch, units = BLOCK.unpack_from(link.segment.data, offset)[:9]
            is_ours = (magic, engine, segment, units) == (b"jBlk", self.engine_id, link.segment.number, offset // UNIT)
            if is_ours and number > link.last and its_epoch >= epoch:
                return True
        return False

    def link(self, at):
        segment = self.segments[at]
        after = self.segments[at + 1] if at + 1 < len(self.segments) else None
        blocks = self.right_blocks(segment.data, segment.number)
        end, last, epoch, is_all = self.known(at, blocks)
        link = Link(segment, segment.first_block - 1)
        if not segment.right_head:
            link.damage.append({"segment": segment.number, "offset": 0, "bytes": UNIT, "reason": "head"})
        least = segment.epoch if segment.right_head else 0
        for block in blocks:
            if block.offset < end and link.last < block.number <= last and block.epoch >= least:
                if block.offset > link.end:
                    self.add_damage(link, block.offset)
                self.take(link, block)
                least = block.epoch
        if link.end < end:
            self.add_damage(link, end)
            link.end = end
        link.last = last
        if not is_all:
            epoch = max([epoch] + [block.epoch for block in link.blocks])
            for block in blocks:
                is_next = block.offset == link.end and block.number == link.last + 1 and block.epoch >= epoch
                if is_next and (after is None or block.number < after.first_block):
                    self.take(link, block)
                    epoch = block.epoch
            link.torn = after is None and self.is_begun(link, epoch)
        for number in range(segment.number + 1, after.number if after is not None else 0):
            link.damage.append({"segment": number, "offset": 0, "bytes": len(segment.data), "reason": "missing"})
        return link

    # Rule 3

    def read(self):
        """The links that count, and damage in front of them."""
        if not self.segments:
            return [], []
        for at in reversed(range(len(self.segments))):
            blocks = self.link(at).blocks
            if blocks:
                self.oldest = max([self.oldest] + [block.oldest for block in blocks])
                break
        first = next(n for n, segment in enumerate(self.segments) if segment.number >= self.oldest)
        missing = range(max(self.oldest, 1), self.segments[first].number)
        length = len(self.segments[first].data)
        in_front = [{"segment": n, "offset": 0, "bytes": length, "reason": "missing"} for n in missing]
        return [self.link(at) for at in range(first, len(self.segments))], in_front


def whole_words(count):
    return (count + 7) // 8 * 8


def is_part(data, number, length):
    """Whether a part record's number and length fit the payload, or the result, that it speaks of."""
    if len(data) < 24:
        return False
    payload = struct.unpack_from("<Q", data, 16)[0]
    return payload <= MOST_PARTED and number * PART < payload and length == min(PART, payload - number * PART)


def record_at(data, at):
    """The well-formed record that begins there, as a dictionary."""
    kind, _, short, word = struct.unpack_from("<BBHI", data, at)
    record_id = struct.unpack_from("<Q", data, at + 8)[0] if kind not in (4, 7) else None
    if kind == 1:
        moment, number, most_attempts, lease = struct.unpack_from("<QHHI", data, at + 16)
        return {"type": "job", "id": f"{record_id:016x}", "level": short, "kind": number,
                "attempts": moment >> 48, "most_attempts": most_attempts, "lease_ms": lease,
                "enqueued_at_ms": moment & 0xffffffffffff,
                "payload": data[at + 32:at + 32 + word].hex()}
    if kind == 2:
        return {"type": "ended", "id": f"{record_id:016x}"}
    if kind == 3:
        return {"type": "attempts", "id": f"{record_id:016x}", "attempts": short}
    if kind == 4:
        return {"type": "kind", "kind": word, "name": data[at + 8:at + 8 + short].hex()}
    if kind == 5:
        due, started, ended_at = struct.unpack_from("<QQQ", data, at + 16)
        return {"type": "change", "id": f"{record_id:016x}", "attempts": short,
                "state": word >> 16 & 0xff, "cause": word >> 24, "due_ms": due & 0xffffffffffff,
                "is_moment": due >> 48 & 1 == 1, "is_cut": due >> 49 & 1 == 1,
                "is_in_parts": due >> 50 & 1 == 1, "started_ms": started & 0xffffffffffff,
                "worker": (started >> 48) - 1, "ended_at_ms": ended_at,
                "text": data[at + 40:at + 40 + (word & 0xffff)].hex()}
    if kind == 6:
        expires_at, keep = struct.unpack_from("<QQ", data, at + 16)
        return {"type": "options", "id": f"{record_id:016x}", "cell_flags": short,
                "retry_policy": word & 0xffff, "expires_at_ms": expires_at, "keep_ms": keep,
                "unique": data[at + 32:at + 48].hex()}
    if kind == 8:
        return {"type": "links", "id": f"{record_id:016x}", "rule": short & 0xff,
                "runs_all_the_same": short >> 8, "parents": word,
                "born_of": f"{struct.unpack_from('<Q', data, at + 16)[0]:016x}"}
    if kind == 9:
        return {"type": "part", "id": f"{record_id:016x}", "number": short,
                "payload_bytes": struct.unpack_from("<Q", data, at + 16)[0],
                "part": data[at + 24:at + 24 + word].hex()}
    if kind == 11:
        whole, change = struct.unpack_from("<QQ", data, at + 16)
        return {"type": "result_part", "id": f"{record_id:016x}", "number": short,
                "result_bytes": whole, "change": change,
                "part": data[at + 32:at + 32 + word].hex()}
    if kind == 12:
        return {"type": "notes", "id": f"{record_id:016x}", "trace_flags": short >> 8,
                "serial": data[at + 16:at + 32].hex(),
                "retried_from": f"{struct.unpack_from('<Q', data, at + 32)[0]:016x}",
                "trace_id": data[at + 40:at + 56].hex(), "trace_parent": data[at + 56:at + 64].hex(),
                "tag": data[at + 64:at + 64 + (short & 0xff)].hex()}
    if kind == 10:
        moment, number, most_attempts, lease, first = struct.unpack_from("<QHHIQ", data, at + 16)
        return {"type": "large_job", "id": f"{record_id:016x}", "level": short, "kind": number,
                "attempts": moment >> 48, "most_attempts": most_attempts, "lease_ms": lease,
                "enqueued_at_ms": moment & 0xffffffffffff, "payload_bytes": word,
                "first_segment": first}
    return {"type": "retry_policy", "retry_policy": word,
                "text": data[at + 8:at + 8 + short].hex()}


def parse_records(data, count):
    """The records of a block, as dictionaries; None if they are malformed."""
    records = []
    at = 0
    while at < len(data) and len(records) < count:
        if len(data) - at < 8:
            return None
        kind, flags, short, word = struct.unpack_from("<BBHI", data, at)
        if kind == 1 and word > MOST_PAYLOAD:
            return None
        lengths = {1: 32 + whole_words(word), 2: 16, 3: 16, 4: 8 + whole_words(short),
                   5: 40 + whole_words(word & 0xffff), 6: 48, 7: 8 + whole_words(short), 8: 24,
                   9: 24 + whole_words(word), 10: 40, 11: 32 + whole_words(word),
                   12: 64 + whole_words(short & 0xff)}
        if kind == 5 and (word >> 16 & 0xff) > MOST_STATE:
            return None
        if kind == 12 and (short & 0xff) > MOST_TAG:
            return None
        if kind in (9, 11) and not is_part(data[at:], short, word):
            return None
        if kind == 11 and len(data) - at < 32:
            return None
        if kind not in lengths or flags != 0:
            raise Incompatible(f"record of type {kind}, flags {flags}")
        if at + lengths[kind] > len(data):
            return None
        record_id = struct.unpack_from("<Q", data, at + 8)[0] if kind not in (4, 7) else None
        if record_id == 0:
            return None
        records.append(record_at(data, at))
        at += lengths[kind]
    return records if at == len(data) and len(records) == count else None


def main(directory, engine_id):
    links, damage = Journal(directory, int(engine_id, 16)).read()
    blocks = records = 0
    for link in links:
        for block in link.blocks:
            begin = block.offset + 96
            found = parse_records(link.segment.data[begin:begin + block.record_bytes], block.records)
            place = {"segment": block.segment, "offset": block.offset, "block": block.number}
            if found is None:
                damage.append({"segment": block.segment, "offset": block.offset, "bytes": block.bytes,
                               "reason": "records"})
                continue
            blocks += 1
            records += len(found)
            for record in found:
                print(json.dumps({**place, **record}))
        damage.extend(link.damage)
    torn = links and links[-1].torn
    print(json.dumps({
        "segments": len(links), "blocks": blocks, "records": records,
        "last_block": links[-1].last if links else 0,
        "torn_tail": {"segment": links[-1].segment.number, "offset": links[-1].end} if torn else None,
        "damage": damage}))
    return 1 if damage else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except Incompatible as reason:
        print(f"incompatible: {reason}", file=sys.stderr)
        sys.exit(3)
