/* One chunk of cells that comes and goes: grow.G1 to grow.G5 and give.B1 to give.B7 of ipc/cell_chunks.h, with the
 * visits of ipc/visits.h (visit.V1 to visit.V4), as core/table/growth.h, core/table/free_cells.h and
 * core/keeper/trimming.h do them. One d_step = one access to a shared word, plus private work. README.md beside this
 * file tells the scope and the switches. */

#ifndef VISITORS
#define VISITORS 2 /* producers and workers: each call is a visit */
#endif
#ifndef VISITS
#define VISITS 2 /* of each */
#endif
#ifndef ROUNDS
#define ROUNDS 2 /* in which a keeper gives the chunk back */
#endif
#ifndef KEEPERS
#define KEEPERS 1 /* the second one waits for the death of the first */
#endif
#ifndef DEATHS
#define DEATHS 0 /* of keepers */
#endif
#ifndef STOPS
#define STOPS 0 /* visitors stopped for ever */
#endif

/* Cells of the chunk: two bits of one word of the free map. */
#define CELLS 2
#define WHOLE 3
#define BIT(c) (1 << (c))

#define FREE 0
#define FILLING 1 /* of a visitor */
#define KEPT 2    /* filling, of a keeper */
#define QUEUED 3
#define WORD(generation, state) ((generation) << 2 | (state))
#define GENERATION(word) ((word) >> 2)
#define STATE(word) ((word) & 3)
#define MOST_GENERATION 15

#define ABSENT 0
#define PRESENT 1
#define LEAVING 2

/* ---- shared memory ---- */
byte cell[CELLS] = WORD(1, FREE); /* zero in a hole that was allocated again */
bit has_memory = 1;
byte chunk = PRESENT;
byte base = 1;
bit is_there = 1; /* the chunk's bit in the map of chunks */
byte map = WHOLE; /* of free cells */
byte left_count;  /* Signals::chunks_left */
bit inside[VISITORS + 1];
byte visits[VISITORS + 1];

/* ---- the world ---- */
byte deaths_left = DEATHS;
byte stops_left = STOPS;
byte keepers_gone;
bit is_stopped[VISITORS + 1];
byte hand[VISITORS + 1]; /* free cells that a visitor has taken */

/* ---- what the checks remember ---- */
short given; /* bit per generation of cell 0 that was given as an id */
short given_1;

/* tmpfs would give a page, or end the process with SIGBUS. */
#define TOUCH assert(has_memory)

/* A stop for ever, or a death, between any two steps. */
#define MAY_STOP if :: stops_left > 0 -> d_step { stops_left--; is_stopped[me] = 1 }; goto end :: true fi
#define MAY_DIE if :: deaths_left > 0 -> d_step { deaths_left--; keepers_gone++ }; goto end :: true fi

inline give_id(c) {
  if
  :: (c) == 0 -> assert(!(given & (1 << GENERATION(cell[0])))); given = given | (1 << GENERATION(cell[0]))
  :: else -> assert(!(given_1 & (1 << GENERATION(cell[1])))); given_1 = given_1 | (1 << GENERATION(cell[1]))
  fi;
  assert(GENERATION(cell[c]) > 0 && GENERATION(cell[c]) < MOST_GENERATION)
}

proctype visitor(byte me) {
  byte c, known, seen_base, word;
  known = 0;
  do
  :: visits[me] == VISITS -> break
  :: else ->
    d_step { inside[me] = 1; visits[me]++ }; /* visit.V1 */
    MAY_STOP;
    if /* visit.V2 */
    :: known != left_count -> d_step { known = left_count };
#ifndef KEEP_HAND
      if :: !is_there -> hand[me] = 0 :: else fi
#endif
    :: else
    fi;
    MAY_STOP;
    if
    :: hand[me] == 0 && map != 0 ->
      d_step { hand[me] = map; map = 0 };
      MAY_STOP;
#ifndef TAKE_WITHOUT_LOOK
      if :: !is_there -> hand[me] = 0 :: else fi /* visit.V3: listed late, by one that was stopped */
#endif
    :: hand[me] == 0 && chunk == ABSENT ->
      seen_base = base;
      MAY_STOP;
      d_step { has_memory = 1 }; /* grow.G1 */
      MAY_STOP;
      c = 0;
      do
      :: c < CELLS ->
#ifndef GROW_AS_IT_IS
        word = cell[c];
        d_step { /* grow.G2 */
          TOUCH;
          if :: GENERATION(word) < seen_base && cell[c] == word -> cell[c] = WORD(seen_base, FREE) :: else fi
        };
#endif
        c++
      :: else -> break
      od;
      MAY_STOP;
      if
      :: atomic { chunk == ABSENT && base == seen_base -> chunk = PRESENT }; /* grow.G3 */
        MAY_STOP;
        is_there = 1; /* grow.G4 */
        MAY_STOP;
        map = map | WHOLE /* grow.G5 */
      :: else
      fi
    :: else
    fi;
    MAY_STOP;
    c = 0;
    do
    :: c < CELLS ->
      if
      :: hand[me] & BIT(c) ->
        word = cell[c];
        MAY_STOP;
        if
        :: atomic { /* enq.N1 */
          hand[me] = hand[me] & ~BIT(c);
          TOUCH;
          if
          :: STATE(word) == FREE && cell[c] == word -> cell[c] = WORD(GENERATION(word), FILLING); word = 1
          :: else -> word = 0
          fi
        };
          if
          :: word == 1 ->
            MAY_STOP;
            atomic { TOUCH; give_id(c); cell[c] = WORD(GENERATION(cell[c]), QUEUED) }; /* enq.N4 */
            MAY_STOP;
            d_step { TOUCH; cell[c] = WORD(GENERATION(cell[c]) + 1, FREE) }; /* it runs, and ends: settle.E5 */
            MAY_STOP;
            map = map | BIT(c)
          :: else
          fi
        :: true /* it keeps the cell for its next call */
        fi
      :: else
      fi;
      c++
    :: else -> break
    od;
    MAY_STOP;
    inside[me] = 0 /* visit.V4 */
  od;
  skip;
  d_step { map = map | hand[me]; hand[me] = 0 }; /* it leaves */
end: skip
}

/* What the scan does with cells of a keeper that is dead, and with what is free and in no list. */
inline scan() {
  if :: chunk == PRESENT -> is_there = 1 :: else fi; /* one that was killed between the word and the bit */
  c = 0;
  do
  :: c < CELLS ->
    if
    :: is_there -> d_step {
        TOUCH;
        if :: STATE(cell[c]) == KEPT && chunk == PRESENT -> cell[c] = WORD(GENERATION(cell[c]) + 1, FREE) :: else fi;
        if :: STATE(cell[c]) == FREE -> map = map | BIT(c) :: else fi
      }
    :: else
    fi;
    c++
  :: else -> break
  od;
  left_count++
}

/* give.B5: the chunk stays. */
inline take_back() {
  chunk = PRESENT;
  MAY_DIE;
  is_there = 1;
  MAY_DIE;
  c = 0;
  do
  :: c < CELLS ->
    d_step {
      TOUCH;
      if :: STATE(cell[c]) == KEPT -> cell[c] = WORD(GENERATION(cell[c]) + 1, FREE); map = map | BIT(c) :: else fi
    };
    MAY_DIE;
    c++
  :: else -> break
  od
}

proctype keeper(byte mine) {
  byte c, round, listed, ours, v, next_base;
  bit is_inherited, is_quiet;
  byte noted[VISITORS + 1];
end_waiting: keepers_gone == mine;
  if
  :: chunk == LEAVING -> is_inherited = 1; is_there = 0; goto ask
  :: else
  fi;
  scan();
  do
  :: round == ROUNDS -> break
  :: else ->
    round++;
    is_inherited = 0;
    if :: chunk != PRESENT || !is_there || map != WHOLE -> goto next :: else fi;
    d_step { listed = map; map = 0 }; /* give.B1 */
    MAY_DIE;
    d_step { ours = 0; next_base = base; c = 0 };
    do
    :: c < CELLS && (listed & BIT(c)) ->
      d_step {
        TOUCH;
        if
        :: STATE(cell[c]) == FREE ->
          if :: GENERATION(cell[c]) > next_base -> next_base = GENERATION(cell[c]) :: else fi;
          cell[c] = WORD(GENERATION(cell[c]), KEPT);
          ours = ours | BIT(c);
          c++
        :: else -> c = CELLS + 1
        fi
      };
      MAY_DIE
    :: else -> break
    od;
    if
    :: ours != WHOLE -> /* some cell is in use: the others are freed, the chunk stays */
      c = 0;
      do
      :: c < CELLS ->
        d_step {
          if
          :: ours & BIT(c) -> TOUCH; cell[c] = WORD(GENERATION(cell[c]) + 1, FREE); map = map | BIT(c)
          :: else
          fi
        };
        MAY_DIE;
        c++
      :: else -> break
      od;
      map = map | (listed & ~ours);
      goto next
    :: else
    fi;
#ifdef BASE_STAYS
    next_base = base;
#endif
    d_step { chunk = LEAVING; base = next_base }; /* give.B2 */
    MAY_DIE;
    is_there = 0; /* give.B3 */
ask:
    MAY_DIE;
    left_count++;
    MAY_DIE;
    /* give.B4: the barrier, then each visit. */
    d_step { is_quiet = 1; v = 1 };
#ifndef SKIP_VISITS
    do
    :: v <= VISITORS ->
      if
      :: inside[v] ->
        noted[v] = visits[v];
end_visit: if
        :: !(inside[v] && visits[v] == noted[v]) /* waits for its end */
#ifdef TAKE_BACK_INHERITED
        :: is_quiet = 0; break
#else
        :: !is_inherited -> is_quiet = 0; break /* give.B5: it takes too long */
#endif
        fi
      :: else
      fi;
      v++
    :: else -> break
    od;
#endif
    if
    :: !is_quiet -> take_back(); goto next
#ifndef SKIP_LOOK_AT_BIT
    :: is_quiet && is_there -> take_back(); goto next /* give.B5: by a grower that stood before grow.G4 */
#endif
    :: else
    fi;
    MAY_DIE;
    d_step { has_memory = 0; cell[0] = 0; cell[1] = 0 }; /* give.B6 */
    MAY_DIE;
    chunk = ABSENT; /* give.B7 */
next:
    MAY_DIE
  od;
end: skip
}

/* At rest, when no visitor is stopped and a keeper is in office: no cell is lost. */
proctype at_rest() {
  byte n;
end_idle: timeout;
  atomic {
    if
    :: STOPS == 0 && keepers_gone < KEEPERS ->
      assert(chunk != LEAVING && is_there == (chunk == PRESENT));
      if :: chunk == PRESENT -> assert(map == WHOLE && STATE(cell[0]) == FREE && STATE(cell[1]) == FREE) :: else fi
    :: else
    fi
  }
}

init {
  byte n;
  atomic {
    n = 1;
    do :: n <= VISITORS -> run visitor(n); n++ :: else -> break od;
    n = 0;
    do :: n < KEEPERS -> run keeper(n); n++ :: else -> break od;
    run at_rest()
  }
}
