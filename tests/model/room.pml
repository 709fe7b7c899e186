/* Room for running handlers: room.R1 to room.R3 of core/table/room.h, as core/table/free_cells.h does them. One d_step
 * = one access to a shared word, plus private work. README.md beside this file tells the scope and the switches. */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef HANDLERS
#define HANDLERS 1
#endif
#ifndef WORDS
#define WORDS 3 /* of the free map */
#endif
#ifndef LEASES
#define LEASES 2 /* cells that producers leave */
#endif
#ifndef CALLS
#define CALLS 2 /* of each producer: a batch of up to a word of cells */
#endif
#ifndef ENDS
#define ENDS 1 /* jobs that end without a follow-up */
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef SCANS
#define SCANS 0
#endif

#define BITS 2 /* cells of a word */
#define CELLS (WORDS * BITS)
#define PLAIN (CELLS - LEASES)
#define WHOLE 3
#define BIT(c) (1 << ((c) % BITS))
#define IS_LISTED(c) (map[(c) / BITS] & BIT(c))
#define COUNT(word) (((word) & 1) + ((word) >> 1))

/* ---- shared memory ---- */
byte map[WORDS] = WHOLE;
bit used[CELLS]; /* what the cell's state word says */

/* ---- the world ---- */
byte deaths_left = DEATHS;
byte scan_count; /* Signals::chunks_left */
byte hand[PRODUCERS + 1]; /* bits of a word of the map that a producer has taken */
byte hand_word[PRODUCERS + 1];
bit is_running[CELLS]; /* a handler has the job */

/* ---- what the checks remember; no process decides by it ---- */
byte in_use;
byte waiting; /* of those: jobs that no handler has */
byte between; /* handlers that hold a cell for a follow-up, and have not given back their own */
/* How far the bound can be off: cells that a scan has listed while a living producer had them in hand, and that it
 * fills before it notices; and handlers that have moved from one cell to another during a count, which may see both. */
byte off;
byte counting; /* producers that count */

#define CHECK_BOUND assert(in_use <= PLAIN + between + off)

/* A kill between any two steps: what is in the hand is in no list. */
#define MAY_DIE if :: deaths_left > 0 -> deaths_left--; goto end :: true fi

/* Word by word, from the top down, `most` at most. */
inline count_listed(most) {
  d_step { found = 0; w = WORDS; counting++ };
  do
  :: w > 0 && found < (most) -> d_step {
      w--;
      found = found + COUNT(map[w]);
      if :: found > (most) -> found = (most) :: else fi
    }
  :: else -> break
  od;
  skip; /* no jump may lead into a d_step */
  counting--
}

proctype producer(byte me) {
  byte calls, w, found, lack, c, known;
  do
  :: calls == CALLS -> break
  :: else ->
    calls++;
    /* visit.V2: what a scan has listed is not ours alone any more, if it still is at all. */
    if
    :: known != scan_count -> known = scan_count;
#ifndef KEEP_HAND
      atomic {
        hand[me] = hand[me] & ~map[hand_word[me]];
        c = 0;
        do
        :: c < BITS -> if :: used[hand_word[me] * BITS + c] -> hand[me] = hand[me] & ~BIT(c) :: else fi; c++
        :: else -> break
        od
      }
#endif
    :: else
    fi;
    MAY_DIE;
    if
    :: hand[me] == 0 ->
#ifndef SKIP_FIRST_COUNT
      count_listed(LEASES + 1); /* room.R1 */
      if :: found <= LEASES -> break :: else fi;
#endif
      MAY_DIE;
      w = 0;
      do
      :: w < WORDS -> /* room.R2: the lowest word that has any */
        d_step { hand_word[me] = w; hand[me] = map[w]; map[w] = 0; w++ };
        if :: hand[me] != 0 -> break :: else fi
      :: else -> break
      od;
      if :: hand[me] == 0 -> break :: else fi;
      MAY_DIE;
#ifndef SKIP_SECOND_COUNT
      count_listed(LEASES); /* room.R3 */
      d_step { lack = LEASES - found; c = BITS };
      do
      :: c > 0 && lack > 0 -> d_step {
          c--;
          if
          :: hand[me] & BIT(c) ->
            hand[me] = hand[me] & ~BIT(c); map[hand_word[me]] = map[hand_word[me]] | BIT(c); lack--
          :: else
          fi
        }
      :: else -> break
      od;
      MAY_DIE
#endif
    :: else
    fi;
    c = 0;
    do
    :: c < BITS ->
      if
      :: hand[me] & BIT(c) ->
        if
        :: atomic { /* enq.N1 */
          hand[me] = hand[me] & ~BIT(c);
          w = hand_word[me] * BITS + c;
          if
          :: !used[w] ->
            if :: IS_LISTED(w) -> off++ :: else fi; /* a scan came during this call */
            used[w] = 1; in_use++; waiting++
          :: else
          fi;
          CHECK_BOUND
        }
        :: SCANS > 0 -> skip /* it keeps the cell for its next call */
        fi
      :: else
      fi;
      c++
    :: else -> break
    od;
    MAY_DIE
  od;
  skip;
  d_step { map[hand_word[me]] = map[hand_word[me]] | hand[me]; hand[me] = 0 }; /* it leaves */
end: skip
}

/* Runs one job that follows up: takes a cell for it before its own comes free. It must not wait for ever. */
proctype handler() {
  byte mine, next, w, c, word;
  bit has;
  /* A job to run; none may come. */
end: atomic {
    waiting > 0 ->
    waiting--;
    mine = 0;
    do :: used[mine] && !is_running[mine] -> break :: else -> mine++ od;
    is_running[mine] = 1
  };
  do
  :: has -> break
  :: else ->
    w = 0;
#ifdef HANDLER_LEAVES_ROOM
    (COUNT(map[0]) + COUNT(map[1]) + COUNT(map[WORDS - 1]) > LEASES);
#endif
    do
    :: w < WORDS && !has ->
      d_step { word = map[w]; map[w] = 0 };
      c = 0;
      do
      :: c < BITS && word != 0 -> d_step {
          if
          :: (word & BIT(c)) && !has ->
            word = word & ~BIT(c);
            if
            :: !used[w * BITS + c] ->
              used[w * BITS + c] = 1; is_running[w * BITS + c] = 1; has = 1; in_use++; between++;
              next = w * BITS + c;
              off = off + counting
            :: else
            fi
          :: else
          fi;
          c++;
          CHECK_BOUND
        }
      :: else -> break
      od;
      skip;
      d_step { map[w] = map[w] | word; word = 0 };
      w++
    :: else -> break
    od;
    if
    :: has
    :: else -> (map[0] + map[1] + map[WORDS - 1] != 0) /* it sleeps until a cell is listed */
    fi
  od;
  skip;
  d_step { /* settle.E5; the follow-up waits from now on */
    used[mine] = 0; is_running[mine] = 0; in_use--; between--;
    is_running[next] = 0; waiting++
  };
  d_step { map[mine / BITS] = map[mine / BITS] | BIT(mine) }
}

/* Ends jobs that follow up nothing. */
proctype worker() {
  byte ends, c;
  do
  :: ends == ENDS -> break
  :: else ->
end: atomic {
      waiting > 0 ->
      waiting--;
      c = 0;
      do :: used[c] && !is_running[c] -> break :: else -> c++ od;
      used[c] = 0; in_use--; ends++
    };
    d_step { map[c / BITS] = map[c / BITS] | BIT(c) }
  od
}

/* The keeper's scan lists what is free and in no list. After a death, if there is one. */
proctype scan() {
  byte scans, c;
end: do
  :: scans < SCANS && (DEATHS == 0 || deaths_left < DEATHS) ->
    d_step { scans++; c = 0 };
    do
    :: c < CELLS -> d_step { if :: !used[c] -> map[c / BITS] = map[c / BITS] | BIT(c) :: else fi; c++ }
    :: else -> break
    od;
    skip;
    scan_count++
  :: else -> break
  od
}

init {
  byte n;
  atomic {
    n = 1;
    do :: n <= PRODUCERS -> run producer(n); n++ :: else -> break od;
    n = 0;
    do :: n < HANDLERS -> run handler(); n++ :: else -> break od;
    if :: ENDS > 0 -> run worker() :: else fi;
    if :: SCANS > 0 -> run scan() :: else fi
  }
}
