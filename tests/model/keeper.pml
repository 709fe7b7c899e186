/* The keeper of the model in ringmill.pml: core/keeper/reaper.cc and core/keeper/table_scan.cc. */

/* True when a slot was written for the run that `mine` stands in. While a holder extends, the note is one
 * version ahead. */
#ifdef EXPIRY_WANTS_EXACT_NOTE
#define SPEAKS_OF_RUNNING(note) ((note) >> 1 == VERSION(mine))
#else
#define SPEAKS_OF_RUNNING(note) ((note) >> 1 == VERSION(mine) || (note) >> 1 == VERSION(mine) + 1)
#endif
#define SPEAKS(id, note) ((id) == ID(mine, c) && ((STATE(mine) == COMPLETING && (note) >> 1 == VERSION(mine) - 1) || \
                                                  (STATE(mine) == RUNNING && SPEAKS_OF_RUNNING(note))))

/* The rule for cell `c`, whose word `mine` names the dead owner `d`. Reading the slot of `d` is part of the step:
 * its owner is dead, so no process writes it. */
#define CHOOSE_RULE \
  if \
  :: STATE(mine) == FILLING -> step = FREE_CELL \
  :: STATE(mine) == RUNNING -> outcome = REQUEUE; step = STAGE_ID \
  :: STATE(mine) == COMPLETING REAPED -> \
     assert(SPEAKS(lease_id[d], lease_note[d])); /* an end that was won is always staged */ \
     outcome = lease_note[d] & 1; step = STAGE_ID \
  :: else -> step = return_to \
  fi
#ifdef REAP_FORGETS_COMPLETING
#define REAPED && false
#else
#define REAPED
#endif

/* What asks for a scan. One of a ring that is full and stays full changes nothing: left out. */
#define IS_DEAD_SLOT(n) !IS_LIVE(cell[CELL(ring[n])], ring[n] & 7)
#define ROOM (tail < head + SLOTS || IS_DEAD_SLOT(0) || IS_DEAD_SLOT(1))
#define UNLISTED(c) (STATE(cell[c]) == FREE && !((free_map >> (c)) & 1))
#define IS_SHORT_OF_CELLS(p) (waits[p] && gone[p] == HERE && free_map == 0 && SOME(UNLISTED))
#if CELLS == 3
#define SOME(what) (what(0) || what(1) || what(2))
#else
#define SOME(what) (what(0) || what(1))
#endif
#if PRODUCERS == 2
#define SOME_PRODUCER_SHORT (IS_SHORT_OF_CELLS(1) || IS_SHORT_OF_CELLS(2))
#else
#define SOME_PRODUCER_SHORT IS_SHORT_OF_CELLS(1)
#endif
#define IS_LATE(w) (gone[w] != DEAD && lease_id[w] != 0 && lease_deadline[w] <= now && \
                    OWNER(cell[CELL(lease_id[w])]) == (w) && STATE(cell[CELL(lease_id[w])]) == RUNNING)
#define IS_TO_REAP(p) (gone[p] == DEAD && !is_free_entry[p] && !((taken >> (p)) & 1))

#define CHOOSE 0
#define TAKE_SLOT 1
#define TAKE_CELL 2
#define TAKE_PLACING 3
#define SCAN_START 4
#define SCAN_SLOT 6
#define SCAN_CELL 7
#define SCAN_NOTE 8
#define SCAN_END 9
#define LATE_CELL 10
#define LATE_DEADLINE 11
#define LATE_NOTE 12
/* settling on behalf of another */
#define STAGE_ID 13
#define STAGE_NOTE 14
#define WIN_CELL 15
#define STORE_CELL 16
#define LIST_FREED 17
#define PLACE_NOTE 18
#define PLACE_STORE 19
#define FREE_CELL 20
#define CLEAR_SLOT 21
#define PUSH_ONLY 22
#define CLEAR_PLACED 23
#define STAND_BY 24

proctype keeper(byte me) {
  RING_LOCALS; byte step, return_to, c, d, at, count, notes, taken, j; short mine;
  byte noted[CELLS]; bit outcome, scan_wanted, late;
  {
  step = STAND_BY;
end:
  do
  /* Of a second keeper: the one before it may have died in a scan. */
  :: d_step { step == STAND_BY && (me == FIRST_KEEPER || gone[FIRST_KEEPER] == DEAD) ->
       scan_wanted = (me != FIRST_KEEPER); step = CHOOSE }
  :: d_step { step == CHOOSE && IS_TO_REAP(1) -> d = 1; step = TAKE_SLOT }
  :: d_step { step == CHOOSE && IS_TO_REAP(2) -> d = 2; step = TAKE_SLOT }
#if MOST_PARTICIPANT >= 4
  :: d_step { step == CHOOSE && IS_TO_REAP(3) -> d = 3; step = TAKE_SLOT }
#endif
#if MOST_PARTICIPANT >= 5
  :: d_step { step == CHOOSE && IS_TO_REAP(4) -> d = 4; step = TAKE_SLOT }
#endif
  :: d_step { step == CHOOSE && (scan_wanted || SOME_PRODUCER_SHORT) -> step = SCAN_START }
  /* refill: a job of the overflow queue gets a hint, whatever hints of it there are */
  :: d_step { step == CHOOSE && !scan_wanted && overflow && ROOM ->
       do :: ((overflow >> c) & 1) -> break :: else -> c++ od;
       overflow = overflow & ~(1 << c); mine = cell[c];
       if
       :: STATE(mine) == QUEUED -> refilled = c + 1; hint = HINT(ID(mine, c)); return_to = CHOOSE; step = PUSH_ONLY
       :: else -> skip
       fi;
       mine = 0; c = 0 }
#if TICKS > 0
  :: d_step { step == CHOOSE && IS_LATE(FIRST_WORKER) -> d = FIRST_WORKER; step = LATE_CELL }
#if WORKERS == 2
  :: d_step { step == CHOOSE && IS_LATE(FIRST_WORKER + 1) -> d = FIRST_WORKER + 1; step = LATE_CELL }
#endif
#endif

  /* take over participant d */
  :: d_step { step == TAKE_SLOT -> /* reap.D3 */
       taken = taken | (1 << d);
       j = lease_id[d];
       if :: j == 0 -> step = TAKE_PLACING :: else -> c = CELL(j); step = TAKE_CELL fi }
  :: d_step { step == TAKE_CELL ->
       mine = cell[c]; return_to = TAKE_PLACING;
       if :: OWNER(mine) == d && SPEAKS(j, lease_note[d]) -> CHOOSE_RULE :: else -> step = TAKE_PLACING fi;
       j = 0 }
  :: d_step { step == TAKE_PLACING -> /* reap.D4 */
       j = placing[d];
       if
       :: j != 0 && IS_LIVE(cell[CELL(j)], HINT(j)) -> hint = HINT(j); return_to = CHOOSE; step = PUSH_ONLY
       :: else -> step = CHOOSE
       fi;
       j = 0; d = 0; c = 0; mine = 0; scan_wanted = 1 }

  /* scan: reap.D6 for all that were taken over */
  :: d_step { step == SCAN_START -> scanning = 1; scan_wanted = 0; count = 0; step = SCAN_CELL }
  :: d_step { step == SCAN_CELL && count < CELLS -> /* scan.T1 */
       c = count; count++; mine = cell[c]; return_to = SCAN_CELL; d = OWNER(mine);
       if
       :: STATE(mine) == FREE -> step = LIST_FREED
       :: STATE(mine) == QUEUED -> notes = notes | (1 << c); noted[c] = HINT(ID(mine, c))
       :: else -> if :: d != 0 && ((taken >> d) & 1) -> CHOOSE_RULE :: else fi
       fi;
       if :: step == SCAN_CELL -> c = 0; d = 0; mine = 0 :: else fi }
  :: d_step { step == SCAN_CELL && count == CELLS ->
       count = 0; c = 0; d = 0; mine = 0; at = head;
       if :: notes != 0 -> step = SCAN_SLOT :: else -> step = SCAN_END fi }
  :: d_step { step == SCAN_SLOT && count < SLOTS -> /* scan.T2 */
       if
       :: LAP_AHEAD(SLOT(at), at) >= 0 ->
          hinted = SLOT(at) & 7; c = CELL(hinted);
          if :: ((notes >> c) & 1) && noted[c] == hinted -> notes = notes & ~(1 << c); noted[c] = 0 :: else fi
       :: else -> count = SLOTS
       fi;
       hinted = 0; c = 0; at++; count++ }
  :: d_step { step == SCAN_SLOT && count >= SLOTS -> at = 0; count = 0; step = SCAN_NOTE }
  :: d_step { step == SCAN_NOTE && count < CELLS -> /* scan.T3 */
       c = count; count++; return_to = SCAN_NOTE;
       if
       :: ((notes >> c) & 1) && IS_LIVE(cell[c], noted[c]) -> hint = noted[c]; step = PUSH_ONLY
       :: else
       fi;
       noted[c] = 0; c = 0 }
  :: d_step { step == SCAN_NOTE && count == CELLS -> step = SCAN_END }
  :: d_step { step == SCAN_END -> /* reap.D7 */
       for (j : 1 .. MOST_PARTICIPANT) {
         if :: (taken >> j) & 1 -> is_free_entry[j] = 1; placing[j] = 0; lease_id[j] = 0 :: else fi
       }
       j = 0; taken = 0; notes = 0; count = 0; scanning = 0; refilled = 0; return_to = 0; step = CHOOSE;
       check_nobody_forgotten() }

  /* expire the lease of the living d: the word first, the deadline after it */
  :: d_step { step == LATE_CELL ->
       j = lease_id[d]; c = CELL(j); step = LATE_DEADLINE }
  :: d_step { step == LATE_DEADLINE ->
       mine = cell[c];
       if
       :: j != 0 && STATE(mine) == RUNNING && OWNER(mine) == d && GENERATION(mine) == j >> 2 -> step = LATE_NOTE
       :: else -> step = CHOOSE; c = 0; d = 0; mine = 0
       fi;
       j = 0 }
  :: d_step { step == LATE_NOTE && !late ->
       if :: lease_deadline[d] <= now -> late = 1 :: else -> step = CHOOSE; c = 0; d = 0; mine = 0 fi }
  :: d_step { step == LATE_NOTE && late ->
       late = 0; return_to = CHOOSE;
       if
       :: SPEAKS(lease_id[d], lease_note[d]) -> outcome = REQUEUE; step = STAGE_ID
       :: else ->
          assert(gone[d] != STOPPED || cell[c] != mine); /* a stopped process does not keep its job for ever */
          step = CHOOSE; c = 0; mine = 0
       fi;
       d = 0 }

  /* settle */
  :: d_step { step == STAGE_ID -> lease_id[me] = ID(mine, c); step = STAGE_NOTE }
  :: d_step { step == STAGE_NOTE -> lease_note[me] = NOTE(VERSION(mine), outcome); step = WIN_CELL } /* settle.E1 */
  :: d_step { step == WIN_CELL -> /* settle.E2 */
       if
       :: cell[c] == mine ->
          owner = OWNER(mine);
          if
          :: STATE(mine) == RUNNING && gone[owner] != DEAD ->
             assert(holds[owner]);
             assert(now >= promised[owner]); /* an extension that was granted holds */
             was_revoked[owner] = 1
          :: else
          fi;
          owner = 0;
          mine = NEXT(mine, COMPLETING, me); cell[c] = mine;
          if :: outcome == COMPLETE -> step = STORE_CELL :: else -> step = PLACE_NOTE fi
       :: else -> step = CLEAR_SLOT
       fi;
       outcome = 0 }
  :: d_step { step == STORE_CELL -> STORE_FREE; step = LIST_FREED }
  :: d_step { step == LIST_FREED -> free_map = free_map | (1 << c); step = CLEAR_SLOT }
  :: d_step { step == FREE_CELL ->
       if :: cell[c] == mine -> cell[c] = FREED(mine); step = LIST_FREED :: else -> step = CLEAR_SLOT fi }
  :: d_step { step == PLACE_NOTE -> placing[me] = ID(mine, c); step = PLACE_STORE } /* settle.E4 */
  :: d_step { step == PLACE_STORE -> STORE_QUEUED; step = PUSH_ONLY }
  :: d_step { step == CLEAR_SLOT -> /* settle.E7 */
       lease_id[me] = 0; mine = 0; c = 0; step = return_to; return_to = 0;
       if :: step != TAKE_PLACING -> d = 0 :: else fi }
  :: d_step { step == PUSH_ONLY -> step = CLEAR_PLACED }
     push() /* settle.E6 */
  :: d_step { step == CLEAR_PLACED -> placing[me] = 0; refilled = 0; check_nobody_forgotten(); step = CLEAR_SLOT }
  od
  } unless { gone[me] != HERE }
}

