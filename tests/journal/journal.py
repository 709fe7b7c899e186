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
MOST_PAYLOAD = 262016
HEAD = struct.Struct("<8sIIQQQQQQQ")
BLOCK = struct.Struct("<4sIQQQQQQIIIIQQ")


class Incompatible(Exception):
    """A newer format, or the journal of another engine."""


@dataclass
class Block:
    offset: int
    bytes: int
    segment: int
    number: int
    durable: int
    oldest: int
    epoch: int
    record_bytes: int
    records: int


@dataclass
class Segment:
    slot: int
    data: bytes
    number: int
    epoch: int
    first_block: int
    right_head: bool
    begin: int = UNIT
    blocks: list = field(default_factory=list)


@dataclass
class Link:
    segment: Segment
    blocks: list
    damage: list  # (number of the first missing block, what is printed)
    last: int
    epoch: int
    end: int
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
        magic, version, units, engine, number, epoch, first_block, oldest, _, checksum = HEAD.unpack_from(data)
        if magic != b"ringjv01" or xxhash.xxh3_64_intdigest(data[:64]) != checksum:
            return None
        if version != 1:
            raise Incompatible(f"format {version}")
        if engine != self.engine_id:
            raise Incompatible(f"engine {engine:016x}")
        if number == 0 or first_block == 0 or oldest > number:
            return None
        self.oldest = max(self.oldest, oldest)
        return units * UNIT, number, epoch, first_block

    def add_candidate(self, slot, data, head):
        if head is not None:
            length, number, epoch, first_block = head
            data = data[:length]
            blocks = self.right_blocks(data, number)
            self.segments.append(Segment(slot, data, number, epoch, first_block, True, UNIT, blocks))
            return
        blocks = self.right_blocks(data, None)
        if blocks:
            number = max(block.segment for block in blocks)
            blocks = [block for block in blocks if block.segment == number]
            first = blocks[0]
            self.segments.append(Segment(slot, data, number, first.epoch, first.number, False, first.offset, blocks))

    # Rule 2

    def right_block(self, data, offset):
        (magic, length, engine, segment, number, durable, oldest, epoch, units, record_bytes, records, _, _,
         checksum) = BLOCK.unpack_from(data, offset)
        if magic != b"jBlk" or engine != self.engine_id or units * UNIT != offset:
            return None
        if length == 0 or length % UNIT != 0 or length > MOST_BLOCK or record_bytes > length - 88:
            return None
        if segment == 0 or number <= durable or oldest > segment or offset + length > len(data):
            return None
        seed = xxhash.xxh3_64_intdigest(data[offset:offset + 80])
        if xxhash.xxh3_64_intdigest(data[offset + 88:offset + length], seed=seed) != checksum:
            return None
        return Block(offset, length, segment, number, durable, oldest, epoch, record_bytes, records)

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

    # Rule 3

    def was_durable(self, at, number):
        return any(block.durable >= number for segment in self.segments[at:] for block in segment.blocks)

    # Rules 4 and 9

    def marks_fit(self, segment, offset, number):
        if offset + UNIT > len(segment.data):
            return False
        magic, _, engine, in_segment, its_number, _, _, _, units = BLOCK.unpack_from(segment.data, offset)[:9]
        marks = (magic == b"jBlk", engine == self.engine_id, in_segment == segment.number, its_number == number,
                 units * UNIT == offset)
        return sum(marks) >= 4

    def damaged(self, segment, begin, end, number):
        reason = "checksum" if self.marks_fit(segment, begin, number) else "lost"
        return number, {"segment": segment.number, "offset": begin, "bytes": max(begin, end) - begin, "reason": reason}

    def walk(self, at, last, epoch):
        segment = self.segments[at]
        link = Link(segment, [], [], last, epoch, segment.begin)
        if not segment.right_head:
            head = {"segment": segment.number, "offset": 0, "bytes": segment.begin, "reason": "head"}
            link.damage.append((last, head))
        for block in segment.blocks:
            overtaken = any(o.epoch > block.epoch and o.number <= block.number for o in segment.blocks)
            if block.number <= link.last or block.epoch < link.epoch or overtaken:
                continue
            if block.offset != link.end or block.number != link.last + 1:
                if not self.was_durable(at, link.last + 1):
                    link.torn = True
                    break
                link.damage.append(self.damaged(segment, link.end, block.offset, link.last + 1))
                if not self.was_durable(at, block.number - 1):
                    link.torn = True
                    break
            link.blocks.append(block)
            link.last, link.epoch, link.end = block.number, block.epoch, block.offset + block.bytes
        return link

    # Rule 5

    def cut(self, at, link):
        firsts = [s.first_block for s in self.segments[at + 1:] if s.epoch >= link.epoch]
        begin = min(firsts, default=link.last + 2)
        if begin > link.last + 1:
            return
        link.blocks = [block for block in link.blocks if block.number < begin]
        link.damage = [damage for damage in link.damage if damage[0] < begin]
        link.torn = False
        if begin > link.last:
            return
        link.last = begin - 1
        link.end = link.segment.begin
        if link.blocks:
            block = link.blocks[-1]
            link.epoch, link.end = block.epoch, block.offset + block.bytes

    # Rule 6

    def next_of(self, at, link):
        self.cut(at, link)
        later = [n for n in range(at + 1, len(self.segments)) if self.segments[n].epoch >= link.epoch]
        for n in later:
            if self.segments[n].first_block == link.last + 1:
                return n
        later = [n for n in later if self.segments[n].first_block > link.last]
        if not later or not self.was_durable(at, link.last + 1):
            return None
        here, after = self.segments[at], self.segments[later[0]]
        known = {segment.number for segment in self.segments}
        missing = [n for n in range(here.number + 1, after.number) if n not in known]
        for number in missing:
            gap = {"segment": number, "offset": 0, "bytes": len(here.data), "reason": "missing"}
            link.damage.append((link.last + 1, gap))
        if not missing and (after.right_head or after.begin == UNIT):
            link.damage.append(self.damaged(here, link.end, len(here.data), link.last + 1))
        return later[0]

    # Rule 7

    def finish(self, at, link):
        if self.was_durable(at, link.last + 1):
            link.damage.append(self.damaged(link.segment, link.end, len(link.segment.data), link.last + 1))
            link.torn = False
        else:
            link.torn = link.torn or self.marks_fit(link.segment, link.end, link.last + 1)

    def follow(self, start):
        """The links of the chain from a candidate on, and the highest `oldest` in it that may be believed, or None."""
        at, last, epoch = start, self.segments[start].first_block - 1, self.segments[start].epoch
        unbroken_from, previous, durable, believed = last + 1, last, 0, None
        links = []
        while True:
            link = self.walk(at, last, epoch)
            next_at = self.next_of(at, link)
            if next_at is None:
                self.finish(at, link)
            for block in link.blocks:
                if block.number != previous + 1:
                    unbroken_from = block.number
                previous = block.number
                durable = max(durable, block.durable)
                if durable + 1 >= unbroken_from:
                    believed = max(believed or 0, block.oldest)
            links.append(link)
            if next_at is None:
                return links, believed
            at = next_at
            last, epoch = self.segments[at].first_block - 1, max(link.epoch, self.segments[at].epoch)
            if last != link.last:
                unbroken_from = last + 1
            previous = last

    # Rule 8

    def read(self):
        """The links that count, and damage in front of them."""
        if not self.segments:
            return [], []
        start = len(self.segments) - 1
        while True:
            _, believed = self.follow(start)
            if believed is not None or start == 0 or self.segments[start - 1].number < self.oldest:
                break
            start -= 1
        self.oldest = max(self.oldest, believed or 0)
        first = next(n for n, segment in enumerate(self.segments) if segment.number >= self.oldest)
        missing = range(max(self.oldest, 1), self.segments[first].number)
        length = len(self.segments[first].data)
        in_front = [{"segment": n, "offset": 0, "bytes": length, "reason": "missing"} for n in missing]
        return self.follow(first)[0], in_front


def whole_words(count):
    return (count + 7) // 8 * 8


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
        lengths = {1: 32 + whole_words(word), 2: 16, 3: 16, 4: 8 + whole_words(short)}
        if kind not in lengths or flags != 0:
            raise Incompatible(f"record of type {kind}, flags {flags}")
        if at + lengths[kind] > len(data):
            return None
        record_id = struct.unpack_from("<Q", data, at + 8)[0] if kind != 4 else None
        if record_id == 0:
            return None
        if kind == 1:
            moment, number, most_attempts, lease = struct.unpack_from("<QHHI", data, at + 16)
            records.append({"type": "job", "id": f"{record_id:016x}", "level": short, "kind": number,
                            "attempts": moment >> 48, "most_attempts": most_attempts, "lease_ms": lease,
                            "enqueued_at_ms": moment & 0xffffffffffff,
                            "payload": data[at + 32:at + 32 + word].hex()})
        elif kind == 2:
            records.append({"type": "ended", "id": f"{record_id:016x}"})
        elif kind == 3:
            records.append({"type": "attempts", "id": f"{record_id:016x}", "attempts": short})
        else:
            records.append({"type": "kind", "kind": word, "name": data[at + 8:at + 8 + short].hex()})
        at += lengths[kind]
    return records if at == len(data) and len(records) == count else None


def main(directory, engine_id):
    links, damage = Journal(directory, int(engine_id, 16)).read()
    blocks = records = 0
    for link in links:
        for block in link.blocks:
            begin = block.offset + 88
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
        damage.extend(what for _, what in link.damage)
    torn = links and links[-1].torn
    print(json.dumps({
        "segments": sum(1 for link in links if link.last + 1 >= link.segment.first_block), "blocks": blocks,
        "records": records, "last_block": links[-1].last if links else 0,
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
