/* Ring, claim, lease, revoke and reaping of ringmill. One d_step = one access to a shared word (plus private work), so
 * spin tries a kill, and a step of every other process, between any two accesses. The step names
 * (ring.P1, claim.K4, settle.E5, enq.N3, reap.D4) are those of ipc/ring.h, core/participant/claiming.h,
 * core/table/settling.h, core/participant/producer.h and core/keeper/reaper.h.
 * README.md beside this file tells the scope and the switches. */

/* The size of a run; each can be given with -D. */
#ifndef PRODUCERS
#define PRODUCERS 1
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef KEEPERS
#define KEEPERS 1 /* the second one waits for the death of the first */
#endif
#ifndef CELLS
#define CELLS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef JOBS
#define JOBS 2 /* of the first producer */
#endif
#ifndef LATER_JOBS
#define LATER_JOBS JOBS /* of the second one */
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef STOPS
#define STOPS 0 /* workers stopped for ever: alive, and not reaped */
#endif
#ifndef FAILS
#define FAILS 0 /* runs that end in "fail" */
#endif
#ifndef EXTENDS
#define EXTENDS 0
#endif
#ifndef TICKS
#define TICKS 0 /* how often the lease clock moves on by one lease */
#endif

#define FIRST_WORKER (1 + PRODUCERS)
#define FIRST_KEEPER (FIRST_WORKER + WORKERS)
#define MOST_PARTICIPANT (FIRST_KEEPER + KEEPERS - 1)

/* State word: generation 3 | owner 3 | state 3 | version 5. Nothing wraps: that is out of scope, and asserted. */
#define FREE 0
#define FILLING 1
#define QUEUED 2
#define RUNNING 3
#define COMPLETING 4
#define WORD(generation, owner, state, version) ((generation) << 11 | (owner) << 8 | (state) << 5 | (version))
#define GENERATION(word) ((word) >> 11)
#define OWNER(word) (((word) >> 8) & 7)
#define STATE(word) (((word) >> 5) & 7)
#define VERSION(word) ((word) & 31)
#define NEXT(word, state, owner) WORD(GENERATION(word), owner, state, VERSION(word) + 1)
#define FREED(word) WORD(GENERATION(word) + 1, 0, FREE, 0)

/* Job id: generation | cell 2; 0 is none, as generations start at 1. The hint keeps one bit of the generation, so that
 * hints of a generation and of the one after the next look alike, as they do after 4,096 in the real ring. */
#define ID(word, cell) (GENERATION(word) << 2 | (cell))
#define CELL(id) ((id) & 3)
#define HINT(id) ((id) & 7)
#define IS_LIVE(word, hint) (STATE(word) == QUEUED && HINT(ID(word, CELL(hint))) == (hint))

/* Ring slot: lap | hint 3. */
#define SLOT_WORD(position, hint) (((position) / SLOTS) << 3 | (hint))
#define LAP_AHEAD(word, position) (((word) >> 3) - ((position) / SLOTS)) /* -1 before, 0 now, 1 and more: after */
#define SLOT(position) ring[(position) % SLOTS]

/* Lease slot's note: version 5 | outcome 1. */
#define COMPLETE 0
#define REQUEUE 1
#define NOTE(version, outcome) ((version) << 1 | (outcome))

#define HERE 0 /* `gone` of a participant */
#define DEAD 1
#define STOPPED 2

/* ---- shared memory ---- */
short cell[CELLS];
byte ring[SLOTS];
byte head = SLOTS;
byte tail = SLOTS;
byte free_map;
byte overflow; /* bit per cell: the job is marked for the keeper's overflow queue */
byte lease_id[MOST_PARTICIPANT + 1]; /* a worker's lease slot, a keeper's settling slot */
byte lease_note[MOST_PARTICIPANT + 1];
byte lease_deadline[MOST_PARTICIPANT + 1];
byte placing[MOST_PARTICIPANT + 1]; /* an id with its count: readers look only after the count is written */
bit is_free_entry[MOST_PARTICIPANT + 1]; /* reaped, or left */

/* ---- the world ---- */
byte gone[MOST_PARTICIPANT + 1];
byte deaths_left = DEATHS;
byte stops_left = STOPS;
byte fails_left = FAILS;
byte extends_left = EXTENDS;
byte ticks_left = TICKS;
byte now;
bit waits[MOST_PARTICIPANT + 1]; /* for a free cell */

/* ---- what the checks remember; no process decides by it ---- */
int acknowledged; /* bit per id */
int completed;    /* bit per id */
byte promised[MOST_PARTICIPANT + 1];  /* until when a holder was told that it has the lease */
bit holds[MOST_PARTICIPANT + 1];      /* has a lease in its hands */
bit was_revoked[MOST_PARTICIPANT + 1];/* and lost it */
bit scanning;                         /* no scan has ended since one was begun */
byte refilled;                        /* the cell, plus 1, that a keeper has taken out of its queue, to push it */

#define BIT_OF(id) (1 << (id))
#define HINTED_AT(c, position) \
  (LAP_AHEAD(SLOT(position), position) == 0 && CELL(SLOT(position)) == (c) && IS_LIVE(cell[c], SLOT(position) & 7))
/* A claimer comes by it from the head, over filled slots and over those that were moved to the back. SLOTS is 2. */
#define IS_STEPPED_OVER(position) (LAP_AHEAD(SLOT(position), position) >= 0)
#define REACHABLE(c) (HINTED_AT(c, head) || (IS_STEPPED_OVER(head) && HINTED_AT(c, head + 1)) || \
                      (IS_STEPPED_OVER(head) && IS_STEPPED_OVER(head + 1) && HINTED_AT(c, head + 2)))

/* ring.I1, as the protocol needs it: no waiting job is without a hint at or above the head, unless a process answers:
 * a participant whose placing list names it, the keeper that has it in its overflow queue, or a scan that is under way.
 * Part of the step that calls it. */
inline check_nobody_forgotten() {
  for (check : 0 .. CELLS - 1) {
    if
    :: STATE(cell[check]) == QUEUED && !REACHABLE(check) && !((overflow >> check) & 1) &&
       refilled != check + 1 && !scanning ->
       for (owner : 1 .. MOST_PARTICIPANT) {
         placed = placed || (placing[owner] == ID(cell[check], check) && !is_free_entry[owner])
       }
       assert(placed);
       placed = false; owner = 0
    :: else
    fi
  }
  check = 0
}

/* Every process is a loop over steps. A step is one d_step with its guard: one transition, no state in between. */

/* ---- ring ---- */
#define RAISE_HEAD(to) if :: head < (to) -> head = (to); check_nobody_forgotten() :: else fi

#define LOOK 0
#define FOLLOW_TAIL 1
#define READ_HEAD 2
#define FRONT_SLOT 3
#define FRONT_CELL 4
#define MOVED_HEAD 7
#define SWAP 8
#define RAISE_TAIL 9
#define NOTE_OVERFLOW 10

#ifdef PUSH_WITHOUT_HEAD
#define LOOKS_FULL false
#else
#define LOOKS_FULL (known_head <= position && position - known_head >= SLOTS)
#endif
#ifdef FULL_BY_UNSIGNED /* the unsigned difference: a head beyond position looks like a full ring */
#define IS_FULL (known_head > position || position - known_head >= SLOTS)
#else
#define IS_FULL LOOKS_FULL
#endif

/* Pushes `hint`. A ring whose front is live is full. */
inline push() {
  d_step { position = tail; push_step = LOOK } /* ring.P1 */
  do
  :: d_step { push_step == LOOK -> /* ring.P1 */
       assert(position < 60);
       seen = SLOT(position);
       if
       :: LAP_AHEAD(seen, position) == 0 -> position++; seen = 0
       :: LAP_AHEAD(seen, position) > 0 || LAP_AHEAD(seen, position) < -1 -> push_step = FOLLOW_TAIL; seen = 0
       :: else -> /* known_head is private and may be a lap old */
          if :: LOOKS_FULL -> push_step = READ_HEAD :: else -> push_step = SWAP fi
       fi }
  :: d_step { push_step == FOLLOW_TAIL ->
       if :: tail > position -> position = tail :: else -> position++ fi;
       push_step = LOOK }
  :: d_step { push_step == READ_HEAD ->
       known_head = head;
       if
       :: IS_FULL -> push_step = FRONT_SLOT; seen = 0
       :: else -> push_step = SWAP
       fi }
  :: d_step { push_step == FRONT_SLOT -> /* ring.M1 */
       seen = SLOT(known_head);
       if
       :: LAP_AHEAD(seen, known_head) < 0 -> push_step = LOOK; seen = 0
       :: LAP_AHEAD(seen, known_head) == 0 -> push_step = FRONT_CELL
       :: else -> push_step = MOVED_HEAD; seen = 0
       fi }
  :: d_step { push_step == FRONT_CELL ->
       if
       :: IS_LIVE(cell[CELL(seen & 7)], seen & 7) -> push_step = NOTE_OVERFLOW; seen = 0
       :: else -> push_step = MOVED_HEAD; seen = 0
       fi }
  :: d_step { push_step == MOVED_HEAD -> RAISE_HEAD(known_head + 1); known_head = head; push_step = LOOK }
  :: d_step { push_step == SWAP -> /* ring.P2 */
       if
       :: SLOT(position) == seen ->
          SLOT(position) = SLOT_WORD(position, hint); position++; push_step = RAISE_TAIL;
          check_nobody_forgotten()
       :: else -> push_step = LOOK
       fi;
       seen = 0 }
  :: d_step { push_step == RAISE_TAIL -> /* ring.P3 */
       if :: tail < position -> tail = position :: else fi;
       position = 0; hint = 0; push_step = LOOK }
     break
  :: d_step { push_step == NOTE_OVERFLOW ->
       overflow = overflow | (1 << CELL(hint));
       if :: tail < position -> tail = position :: else fi;
       position = 0; hint = 0; push_step = LOOK }
     break
  od
}

#define RING_LOCALS byte position, known_head, hint, hinted, seen, push_step, check, owner; bit placed

/* ---- producer ---- */
proctype producer(byte me) {
  RING_LOCALS; byte step, cache, c, id; byte jobs = (me == 1 -> JOBS : LATER_JOBS); short mine;
  {
  step = 0;
end:
  do
  :: d_step { step == 0 && jobs > 0 && cache == 0 && free_map != 0 -> /* free.T1 */
       cache = free_map; free_map = 0; waits[me] = 0 }
  :: d_step { step == 0 && jobs > 0 && cache == 0 && free_map == 0 && !waits[me] -> waits[me] = 1 }
  :: d_step { step == 0 && jobs > 0 && cache != 0 ->
       do :: (cache >> c) & 1 -> break :: else -> c++ od;
       cache = cache & ~(1 << c);
       mine = cell[c];
       if :: STATE(mine) == FREE -> step = 1 :: else -> c = 0; mine = 0 fi }
  :: d_step { step == 1 -> /* enq.N1 */
       if
       :: cell[c] == mine ->
          mine = NEXT(mine, FILLING, me); cell[c] = mine; id = ID(mine, c); step = 2;
          assert(id < 31)
       :: else -> step = 0; c = 0; mine = 0
       fi }
#ifdef PUSH_BEFORE_QUEUED
  :: d_step { step == 2 -> placing[me] = id; hint = HINT(id); step = 3 }
     push()
  :: d_step { step == 3 -> assert(cell[c] == mine); cell[c] = NEXT(mine, QUEUED, 0); step = 4 }
#else
  :: d_step { step == 2 -> placing[me] = id; step = 3 } /* enq.N3 */
  :: d_step { step == 3 -> /* enq.N4 */
       assert(cell[c] == mine);
       cell[c] = NEXT(mine, QUEUED, 0); hint = HINT(id); step = 4 }
     push() /* enq.N5 */
#endif
  :: d_step { step == 4 -> /* enq.N6 */
       placing[me] = 0;
       check_nobody_forgotten();
       acknowledged = acknowledged | BIT_OF(id);
       jobs--; step = 0; c = 0; id = 0; mine = 0 }
  :: d_step { step == 0 && jobs == 0 -> free_map = free_map | cache; cache = 0; is_free_entry[me] = 1; step = 9 }
     break
  od
  } unless { gone[me] != HERE }
}

/* ---- the end of a run, by its holder or by the keeper; `mine` is the completing word of cell `c` ---- */
#define STORE_FREE /* settle.E5 */ \
  assert(!(completed & BIT_OF(ID(mine, c)))); \
  assert(cell[c] == mine); \
  completed = completed | BIT_OF(ID(mine, c)); \
  cell[c] = FREED(mine)
#define STORE_QUEUED /* settle.E5 */ \
  assert(cell[c] == mine); \
  assert(VERSION(mine) < 29); \
  cell[c] = NEXT(mine, QUEUED, 0); \
  hint = HINT(ID(mine, c))

/* ---- worker ---- */
#define FRONT 0
#define FOLLOW_HEAD 1
#define JUDGE 2
#define LEASE_DEADLINE 3
#define LEASE_NOTE 4
#define LEASE_ID 5
#define CLAIM 6
#define RAISE 7
#define HOLD 8
#define EXTEND_DEADLINE 9
#define EXTEND_NOTE 10
#define EXTEND_SWAP 11
#define STAGE_REQUEUE 12
#define WIN 13
#define STORE 14
#define LIST_CELL 15
#define NOTE_PLACING 16
#define STORE_AGAIN 17
#define CLEAR_PLACING 18
#define GIVE_BACK 19

proctype worker(byte me) {
  RING_LOCALS; byte step, c, at; bit moved, failing; short mine;
  {
  step = FRONT; /* It sleeps while nothing stands at the head; the event count that wakes it has its own test. */
end:
  do
  :: d_step { step == FRONT && at == 0 && LAP_AHEAD(SLOT(head), head) != -1 -> at = head }
  :: d_step { step == FRONT && at != 0 -> /* claim.K1 */
       if
       :: LAP_AHEAD(SLOT(at), at) < 0 -> if :: moved -> step = RAISE :: else -> at = 0 fi
       :: LAP_AHEAD(SLOT(at), at) > 0 -> step = FOLLOW_HEAD
       :: else -> hinted = SLOT(at) & 7; step = JUDGE
       fi }
  :: d_step { step == FOLLOW_HEAD -> if :: head > at -> at = head :: else -> at++ fi; moved = 1; step = FRONT }
  :: d_step { step == JUDGE -> /* claim.K2 */
       c = CELL(hinted); mine = cell[c];
       if
#ifdef HEAD_RAISED_BEFORE_WON
       :: IS_LIVE(mine, hinted) -> step = LEASE_DEADLINE; RAISE_HEAD(at + 1)
#else
       :: IS_LIVE(mine, hinted) -> step = LEASE_DEADLINE
#endif
       :: else -> mine = 0; c = 0; at++; moved = 1; step = FRONT
       fi;
       hinted = 0 }
  :: d_step { step == LEASE_DEADLINE -> lease_deadline[me] = now + 1; step = LEASE_NOTE } /* claim.K3 */
  :: d_step { step == LEASE_NOTE -> lease_note[me] = NOTE(VERSION(mine) + 1, COMPLETE); step = LEASE_ID }
  :: d_step { step == LEASE_ID -> lease_id[me] = ID(mine, c); step = CLAIM }
  :: d_step { step == CLAIM -> /* claim.K4 */
       if
       :: cell[c] == mine ->
          assert(VERSION(mine) < 29);
          assert(!(completed & BIT_OF(ID(mine, c))));
          mine = NEXT(mine, RUNNING, me); cell[c] = mine;
          promised[me] = lease_deadline[me]; holds[me] = 1; was_revoked[me] = 0;
          at++; step = RAISE
       :: else -> mine = 0; c = 0; step = FRONT
       fi }
  :: d_step { step == RAISE -> /* claim.K5 */
       RAISE_HEAD(at);
       at = 0; moved = 0;
       if :: holds[me] -> step = HOLD :: else -> step = FRONT fi }
#if EXTENDS > 0
  :: d_step { step == HOLD && extends_left > 0 -> extends_left--; lease_deadline[me] = now + 1; step = EXTEND_NOTE }
  :: d_step { step == EXTEND_NOTE -> lease_note[me] = NOTE(VERSION(mine) + 1, COMPLETE); step = EXTEND_SWAP }
  :: d_step { step == EXTEND_SWAP ->
       if
       :: cell[c] == mine ->
          assert(!was_revoked[me]);
#ifdef EXTEND_WITHOUT_VERSION
          lease_note[me] = NOTE(VERSION(mine), COMPLETE);
#else
          mine = NEXT(mine, RUNNING, me); cell[c] = mine;
#endif
          promised[me] = lease_deadline[me]; step = HOLD
       :: else -> assert(was_revoked[me]); holds[me] = 0; step = GIVE_BACK
       fi }
#endif
#if FAILS > 0
  :: d_step { step == HOLD && fails_left > 0 -> /* settle.E1 */
       fails_left--; failing = 1; lease_note[me] = NOTE(VERSION(mine), REQUEUE); step = WIN }
#endif
  :: d_step { (step == HOLD && !failing) || step == WIN -> /* settle.E2; settle.E1 was done in claim.K3 */
       if
#ifdef SKIP_LEASE_CHECK
       :: true ->
#else
       :: cell[c] == mine ->
#endif
          assert(!was_revoked[me]); /* exactly one of the two wins */
          mine = NEXT(mine, COMPLETING, me); cell[c] = mine;
          if :: failing -> step = NOTE_PLACING :: else -> step = STORE fi
#ifndef SKIP_LEASE_CHECK
       :: else ->
          assert(was_revoked[me]); /* only the loser receives lease_lost */
          step = GIVE_BACK
#endif
       fi;
       failing = 0; holds[me] = 0 }
  :: d_step { step == STORE -> STORE_FREE; step = LIST_CELL }
  :: d_step { step == LIST_CELL -> free_map = free_map | (1 << c); step = GIVE_BACK } /* free.F1 */
  :: d_step { step == NOTE_PLACING -> placing[me] = ID(mine, c); step = STORE_AGAIN } /* settle.E4 */
  :: d_step { step == STORE_AGAIN -> STORE_QUEUED; step = CLEAR_PLACING }
     push() /* settle.E6 */
  :: d_step { step == CLEAR_PLACING -> placing[me] = 0; check_nobody_forgotten(); step = GIVE_BACK }
  :: d_step { step == GIVE_BACK -> lease_id[me] = 0; mine = 0; c = 0; step = FRONT } /* settle.E7 */
  od
  } unless { gone[me] != HERE }
}

#include "keeper.pml"

/* ---- the world: deaths, stops, time, and the look at the end ---- */
#define MAY_DIE(p) (deaths_left > 0 && gone[p] == HERE && !is_free_entry[p])
#define HOLDS_UNTIL_LATER(w) (OWNER(cell[CELL(lease_id[w])]) == (w) && STATE(cell[CELL(lease_id[w])]) == RUNNING \
                              && lease_deadline[w] > now)

inline check_the_end() {
  for (p : FIRST_WORKER .. FIRST_KEEPER - 1) {
    if :: gone[p] == HERE -> worker_lives = 1 :: else fi
  }
  for (c : 0 .. CELLS - 1) {
    p = OWNER(cell[c]);
    if
    :: STATE(cell[c]) == FREE -> is_full = 0
    :: STATE(cell[c]) == QUEUED -> assert(!worker_lives); assert(REACHABLE(c) || overflow)
    :: STATE(cell[c]) == RUNNING -> assert(gone[p] == STOPPED && lease_deadline[p] > now)
    :: else -> assert(gone[p] == STOPPED) /* filling and completing: their owner is neither dead nor done */
    fi
  }
  for (id : 4 .. 30) {
    if
    :: CELL(id) < CELLS && (acknowledged & BIT_OF(id)) && !(completed & BIT_OF(id)) ->
       assert(GENERATION(cell[CELL(id)]) == id >> 2 && STATE(cell[CELL(id)]) != FREE)
    :: else
    fi
  }
  for (p : 1 .. PRODUCERS) {
    assert(gone[p] != HERE || is_free_entry[p] || is_full)
  }
  for (p : 1 .. MOST_PARTICIPANT) {
    assert(gone[p] != DEAD || is_free_entry[p])
  }
  p = 0
}

init {
  byte p, c, id; bit worker_lives, is_full = 1;
  atomic {
    for (c : 0 .. CELLS - 1) { cell[c] = WORD(1, 0, FREE, 0); free_map = free_map | (1 << c) }
    c = 0;
    for (p : 1 .. PRODUCERS) { run producer(p) }
    for (p : FIRST_WORKER .. FIRST_KEEPER - 1) { run worker(p) }
    for (p : FIRST_KEEPER .. MOST_PARTICIPANT) { run keeper(p) }
    p = 0
  }
  do
#if DEATHS > 0
  :: atomic { MAY_DIE(1) -> deaths_left--; gone[1] = DEAD }
#ifndef ONLY_FIRST_AND_KEEPER_DIE
  :: atomic { MAY_DIE(2) -> deaths_left--; gone[2] = DEAD }
#if FIRST_KEEPER > 3
  :: atomic { MAY_DIE(3) -> deaths_left--; gone[3] = DEAD }
#endif
#endif
#if KEEPERS == 2
  :: atomic { MAY_DIE(FIRST_KEEPER) -> deaths_left--; gone[FIRST_KEEPER] = DEAD }
#endif
  :: atomic { deaths_left > 0 -> deaths_left = 0 }
#endif
#if STOPS > 0
  :: atomic { stops_left > 0 && gone[FIRST_WORKER] == HERE -> stops_left--; gone[FIRST_WORKER] = STOPPED }
  :: atomic { stops_left > 0 -> stops_left = 0 }
#endif
#if TICKS > 0
  :: atomic { ticks_left > 0 && HOLDS_UNTIL_LATER(FIRST_WORKER) -> ticks_left--; now++ }
#if WORKERS == 2
  :: atomic { ticks_left > 0 && HOLDS_UNTIL_LATER(FIRST_WORKER + 1) -> ticks_left--; now++ }
#endif
#endif
  :: timeout -> d_step { check_the_end() } break
  od
}
