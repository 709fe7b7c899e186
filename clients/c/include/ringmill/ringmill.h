/* ringmill: a job engine for one Linux host, in shared memory. The C interface, for C11 and for all languages that
 * call C.
 *
 * Rules of all calls
 *   Results    0 (RM_OK), or a code. An error's text goes to the caller's rm_error, which may be NULL. Nothing is kept
 *              per thread. No exception and no failed allocation passes a call: RM_OUT_OF_MEMORY.
 *   Structs    Each begins with `size`: set it to sizeof, the rest to zero. Zero means the default of each field. A
 *              struct of an older or newer header is taken, unless it sets a field that this library does not know. In
 *              an array the size of the first element counts: it is also the distance from one element to the next.
 *   Texts      rm_bytes: a pointer and a size, no NUL needed. What a call is given is copied during the call. What it
 *              returns lives as its comment says.
 *   Times      In the unit that the name ends with. A wait of 0 does not wait; RM_FOREVER has no end.
 *   Threads    Each comment says which may call: "any" thread, the "owner", or also a "signal" handler. The owner of a
 *              participant is the thread that attached it; with RM_PROCESS_BOUND any thread of the process, one at a
 *              time.
 *   fork()     The child gets RM_AFTER_FORK from all calls on its parent's handles, and opens for itself.
 *   Cost       Where nothing else is said, a call allocates nothing and makes no system call, unless it waits or wakes.
 */
#ifndef RINGMILL_RINGMILL_H
#define RINGMILL_RINGMILL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RM_API __attribute__((visibility("default")))
#else
#define RM_API
#endif

/* --- codes -------------------------------------------------------------------------------------------------------- */

typedef int32_t rm_code; /* the numbers never change; print those that you do not know */
enum {
  RM_OK = 0,
  RM_WOULD_BLOCK = 1, /* nothing to claim, or no room. Nothing has changed */
  RM_TIMED_OUT = 2,   /* the wait is over */
  RM_NOT_FOUND = 3,   /* no such engine, level, kind or job */
  RM_ALREADY_EXISTS = 4,
  RM_INVALID_ARGUMENT = 5,
  RM_TOO_LARGE = 6, /* the payload is longer than the engine takes */
  RM_LEVEL_REMOVED = 7,
  RM_LEASE_LOST = 8,   /* the lease was revoked: another worker has the job. Discard the work */
  RM_WRONG_THREAD = 9, /* a participant was used by another thread than its owner */
  RM_AFTER_FORK = 10,  /* a handle of the parent was used in the child of a fork */
  RM_TOO_MANY_PARTICIPANTS = 11,
  RM_PERMISSION_DENIED = 12,
  RM_INCOMPATIBLE = 13, /* another layout version, or another engine */
  RM_STALE = 14,        /* the shared memory was left by an earlier boot */
  RM_CORRUPT = 15,
  RM_NO_SPACE = 16,
  RM_JOURNAL_FAILED = 17,
  RM_OUT_OF_MEMORY = 18,
  RM_BUSY = 19,
  RM_SYSTEM = 20,      /* a system call failed; the text has its name and reason */
  RM_NOT_DURABLE = 21, /* the jobs are in, and the disk did not have them within the wait. No retry is needed */
  RM_DETACHED = 1000,  /* the participant was detached or abandoned before */
  RM_NOT_HELD = 1001   /* no lease of this participant: it was settled before, or is another's */
};

/* The name of a code as messages have it, "would_block"; "unknown" for others. Any thread, signal. */
RM_API const char* rm_code_name(rm_code code);

typedef struct rm_error {
  uint32_t size;     /* sizeof(rm_error) */
  rm_code code;      /* what the call returned */
  int32_t system;    /* errno of the failed system call, or 0 */
  char message[500]; /* what, where and what to do; ends with NUL; empty after RM_WOULD_BLOCK */
} rm_error;

typedef struct rm_bytes {
  const void* data;
  size_t size;
} rm_bytes;

#define RM_FOREVER (-1)

/* 1: the number rises when a call changes. Any thread, signal. */
RM_API uint32_t rm_abi_version(void);
/* Of the library, as "0.1.0". Any thread, signal. */
RM_API const char* rm_version(void);

/* --- engines ------------------------------------------------------------------------------------------------------ */

typedef struct rm_engine rm_engine;

typedef struct rm_create_options {
  uint32_t size;
  uint32_t capacity;      /* jobs */
  uint32_t cell_size;     /* bytes */
  uint32_t max_payload;   /* bytes */
  uint64_t arena;         /* bytes for payloads that do not fit a cell */
  uint64_t journal_limit; /* bytes */
  uint32_t mode;          /* as of chmod; 0: 0700 */
  uint32_t level_count;   /* of `levels` and `weights`; 0: high, default, low */
  const char* const* levels;
  const uint32_t* weights; /* NULL: the defaults */
  const char* shm_dir;     /* NULL: /dev/shm */
  int64_t lease_ms;        /* of jobs that set none; 0: 5 minutes */
} rm_create_options;

enum {
  RM_OPEN_NO_KEEPER = 1, /* starts no thread: another process keeps, as `ringmill keeper` does. For parents that fork */
  RM_OPEN_DUMP_SEGMENT = 2,    /* leaves the shared memory in core dumps */
  RM_OPEN_DEDICATED_KEEPER = 4 /* this process does nothing but keep: others hand over to it, and kill it if it stops */
};

typedef struct rm_open_options {
  uint32_t size;
  uint32_t flags;
} rm_open_options;

/* Makes an engine. Options may be NULL. Any thread. Allocates; writes files.
 * RM_ALREADY_EXISTS, RM_INVALID_ARGUMENT, RM_NO_SPACE, RM_PERMISSION_DENIED, RM_SYSTEM. */
RM_API rm_code rm_create(const char* directory, const rm_create_options* options, rm_error* error);
/* Opens an engine, with one reference. Any thread. Allocates; maps memory; starts the keeper's thread, unless told not
 * to. RM_NOT_FOUND, RM_INCOMPATIBLE, RM_CORRUPT, RM_PERMISSION_DENIED, RM_NO_SPACE, RM_BUSY, RM_SYSTEM. */
RM_API rm_code rm_open(const char* directory, const rm_open_options* options, rm_engine** engine, rm_error* error);
/* Removes an engine and its files. `force`: also while participants live. Any thread. RM_NOT_FOUND, RM_BUSY, ... */
RM_API rm_code rm_remove(const char* directory, int force, rm_error* error);
/* Any thread. The last release closes; each participant holds a reference of its own. NULL is allowed. */
RM_API void rm_engine_retain(rm_engine* engine);
RM_API void rm_engine_release(rm_engine* engine);
/* Whether this process is the keeper at this moment. Any thread. */
RM_API int rm_engine_keeps(const rm_engine* engine);
/* The longest payload. Any thread. */
RM_API uint32_t rm_most_payload(const rm_engine* engine);

/* Names for numbers, which hold in every process, for this engine alone: another one refuses them. A kind is interned
 * by the first call that names it: 1 to 63 characters of [A-Za-z0-9._:/-]. Any thread. rm_kind: RM_NO_SPACE (all names
 * are taken). rm_level: RM_NOT_FOUND. */
RM_API rm_code rm_kind(rm_engine* engine, rm_bytes name, uint32_t* kind, rm_error* error);
RM_API rm_code rm_level(rm_engine* engine, rm_bytes name, uint32_t* level, rm_error* error);
/* `exponential:1s,2,1h`, `fixed:100ms`, `list:1s,10s`. Any thread. RM_INVALID_ARGUMENT, RM_NO_SPACE. */
RM_API rm_code rm_retry_policy(rm_engine* engine, rm_bytes text, uint32_t* policy, rm_error* error);
/* Writes a name and a NUL, cut to `room` bytes; returns its length, 0 if there is none. Any thread. Allocates. */
RM_API size_t rm_kind_name(const rm_engine* engine, uint32_t kind, char* text, size_t room);
RM_API size_t rm_level_name(const rm_engine* engine, uint32_t level, char* text, size_t room);

/* Makes or removes a level while the engine runs. Any thread. Waits for the disk. ring: slots, 0: the default.
 * RM_ALREADY_EXISTS, RM_NO_SPACE; RM_NOT_FOUND, RM_BUSY (jobs are left), RM_TIMED_OUT. */
RM_API rm_code rm_add_level(rm_engine* engine, rm_bytes name, uint32_t weight, uint32_t ring, uint32_t* level,
                            rm_error* error);
RM_API rm_code rm_remove_level(rm_engine* engine, rm_bytes name, rm_error* error);
/* Any thread. Waits for the disk. */
RM_API rm_code rm_pause_level(rm_engine* engine, uint32_t level, int paused, rm_error* error);
RM_API rm_code rm_pause_kind(rm_engine* engine, uint32_t kind, int paused, rm_error* error);

/* --- participants ------------------------------------------------------------------------------------------------- */

typedef struct rm_participant rm_participant;
typedef uint64_t rm_id;    /* of a job; 0: none */
typedef uint64_t rm_lease; /* of a claimed job; 0: none. Never used again, so a second settlement is an error code */

enum { RM_PRODUCER = 0, RM_WORKER = 1, RM_TOOL = 3 };
enum {
  RM_PROCESS_BOUND = 1 /* belongs to the process, not to the thread. Its death is seen later: see docs/c.md */
};
enum { RM_MOST_LEASES = 64, RM_MOST_BATCH = 64 };

/* Takes a place in the engine, with one reference. Any thread, which becomes the owner. Allocates; some system calls.
 * RM_TOO_MANY_PARTICIPANTS, RM_STALE, RM_NOT_FOUND (the engine was removed), RM_AFTER_FORK, RM_SYSTEM. */
RM_API rm_code rm_attach(rm_engine* engine, uint32_t role, uint32_t flags, rm_participant** participant,
                         rm_error* error);
/* Gives all held jobs back and leaves. Owner. All later calls on the handle return RM_DETACHED. RM_WRONG_THREAD,
 * RM_AFTER_FORK, RM_DETACHED: nothing has changed. */
RM_API rm_code rm_detach(rm_participant* participant, rm_error* error);
/* Leaves without its owner: for finalizers, and for the child of a fork, which only forgets. Any thread, but not while
 * another is in a call. A thread-bound participant that another thread abandons gives its jobs back when its own thread
 * ends; a process-bound one does at once. All later calls on the handle return RM_DETACHED. */
RM_API void rm_abandon(rm_participant* participant);
/* Any thread. The last release abandons, if that was not done, and frees the handle. NULL is allowed. */
RM_API void rm_participant_retain(rm_participant* participant);
RM_API void rm_participant_release(rm_participant* participant);
/* Ends a wait of this participant: the present one, or the next. Any thread, signal. */
RM_API void rm_wake(rm_participant* participant);
/* The number that tools show; -1 after rm_detach. Any thread. */
RM_API int32_t rm_participant_number(const rm_participant* participant);
/* RM_OK, or why the owner's calls would fail: RM_WRONG_THREAD, RM_AFTER_FORK, RM_DETACHED. Any thread. */
RM_API rm_code rm_participant_check(const rm_participant* participant);

/* --- enqueue ------------------------------------------------------------------------------------------------------ */

enum { RM_JOURNALED = 0, RM_MEMORY = 1, RM_DURABLE = 2 }; /* durability */
enum { RM_RETRY = 0, RM_BURY = 1 };                       /* on_worker_lost */
enum { RM_CANCEL_CHILD = 0, RM_RUN_CHILD = 1 };           /* on_parent_dead */
#define RM_UNBOUNDED UINT32_MAX

typedef struct rm_job_options {
  uint32_t size;
  uint32_t max_attempts; /* 0: 15. RM_UNBOUNDED */
  uint32_t retry_policy; /* of rm_retry_policy(); 0: exponential:1s,2,1h */
  uint32_t on_worker_lost;
  int64_t delay_ms;
  int64_t at_unix_ms; /* or a moment of the wall clock */
  int64_t expires_ms;
  int64_t keep_result_ms;
  rm_bytes tag;          /* a name of the caller's own, 1 to 31 bytes; empty: none */
  rm_bytes trace_parent; /* a traceparent of W3C Trace Context; empty: that of the job that it follows or waits for */
  rm_bytes serial_key;   /* jobs of one key run one at a time, in the order of their enqueue; empty: none */
  uint32_t serial_skips; /* 1: later jobs of the key go on while this one waits for a retry or a delay */
  uint32_t reserved_serial;
} rm_job_options;

typedef struct rm_request {
  uint32_t size;
  uint32_t kind;  /* of rm_kind() of this engine; 0 is none, and is refused */
  uint32_t level; /* of rm_level() of this engine; 0: the level named default, or the only one */
  uint32_t durability;
  rm_bytes payload;
  int64_t lease_ms;              /* 0: the engine's */
  const rm_job_options* options; /* NULL: the defaults */
} rm_request;

/* Enqueues up to RM_MOST_BATCH jobs, in order. *done: how many have an id in `ids`, also after an error. Owner.
 * `wait_ns` bounds the call, the disk included; with 0 a durable job waits up to 10 s for the disk.
 * RM_WOULD_BLOCK, RM_TIMED_OUT (no room for all), RM_TOO_LARGE, RM_INVALID_ARGUMENT, RM_LEVEL_REMOVED (no job is in),
 * RM_NOT_DURABLE (all are in). */
RM_API rm_code rm_enqueue(rm_participant* participant, const rm_request* requests, uint32_t count, rm_id* ids,
                          uint32_t* done, int64_t wait_ns, rm_error* error);
/* Enqueues one, unless a job of this key lives, or ended less than its `unique_for_ms` ago: then *id is that job, and
 * *is_new is 0. Owner. As rm_enqueue; RM_NO_SPACE (too many unique jobs). */
RM_API rm_code rm_enqueue_unique(rm_participant* participant, const rm_request* request, rm_bytes key,
                                 int64_t unique_for_ms, rm_id* id, int* is_new, int64_t wait_ns, rm_error* error);
/* Waits until all that this participant has enqueued and settled is on the disk. Owner.
 * RM_TIMED_OUT, RM_JOURNAL_FAILED, RM_NO_SPACE. */
RM_API rm_code rm_wait_durable(rm_participant* participant, int64_t wait_ns, rm_error* error);
/* Ends a waiting job, or asks a running one to stop. Owner. RM_NOT_FOUND. */
enum { RM_CANCELLED_BEFORE_START = 0, RM_ASKED_TO_STOP = 1, RM_ALREADY_OVER = 2 };
RM_API rm_code rm_cancel(rm_participant* participant, rm_id id, uint32_t* found, rm_error* error);

/* --- claim and settle --------------------------------------------------------------------------------------------- */

typedef struct rm_subscription {
  uint32_t size;
  uint32_t strict;   /* 0: levels by weight. 1: the most urgent first */
  uint32_t prefetch; /* what one claim may take in advance; 0: 1, so that no job waits behind a busy caller */
  uint32_t level_count;
  const uint32_t* levels; /* none: all */
  const uint32_t* kinds;  /* none: all */
  uint32_t kind_count;
  uint32_t reserved;
} rm_subscription;

/* What later claims take. NULL: all. Owner. Allocates. RM_INVALID_ARGUMENT, RM_LEVEL_REMOVED. */
RM_API rm_code rm_subscribe(rm_participant* participant, const rm_subscription* subscription, rm_error* error);

typedef struct rm_claimed {
  uint32_t size;
  uint32_t kind;
  uint32_t level;
  uint32_t attempt; /* 1: the first */
  rm_lease lease;
  rm_id id;
  rm_bytes payload; /* until it is settled, or the participant leaves */
  int64_t timeout_ms;
} rm_claimed;

/* Claims up to `room` jobs (RM_MOST_BATCH); waits only for the first. *got: how many. Owner.
 * RM_WOULD_BLOCK (none; rm_wake; all leases are in use), RM_TIMED_OUT, RM_LEVEL_REMOVED, RM_NOT_FOUND (engine
 * removed). */
RM_API rm_code rm_claim(rm_participant* participant, rm_claimed* jobs, uint32_t room, uint32_t* got, int64_t wait_ns,
                        rm_error* error);

enum {
  RM_COMPLETE = 1, /* `text` is the result */
  RM_FAIL = 2,     /* `text` is the error, `said` the output: the job waits as its retry policy says, or is dead */
  RM_RETRY_IN = 3, /* the same, but the next attempt comes after `delay_ms` */
  RM_SNOOZE = 4,   /* puts it off for `delay_ms`; the attempt does not count */
  RM_REJECT = 5,   /* dead at once */
  RM_RELEASE = 6,  /* as if not claimed */
  RM_CANCEL = 7,   /* ended as cancelled */
  RM_TIME_OUT = 8  /* as RM_FAIL, for a run that took too long */
};
enum { RM_WAITS = 0, RM_DEAD = 1, RM_OVER = 2 }; /* rm_settlement.settled */

typedef struct rm_settlement {
  uint32_t size;
  uint32_t what;
  rm_lease lease;
  int64_t delay_ms;
  rm_bytes text;
  rm_bytes said;
  uint32_t settled; /* set: what became of the job */
  rm_code outcome;  /* set: RM_OK, RM_LEASE_LOST, RM_NOT_HELD, RM_INVALID_ARGUMENT */
} rm_settlement;

/* Settles each of a mixed list; `outcome` says how each went. Owner. Returns the first outcome that is not RM_OK. */
RM_API rm_code rm_settle(rm_participant* participant, rm_settlement* list, uint32_t count, rm_error* error);
/* Both in one call: settles, then claims as rm_claim() does. Returns what the claim returns. Owner. */
RM_API rm_code rm_settle_and_claim(rm_participant* participant, rm_settlement* list, uint32_t count, rm_claimed* jobs,
                                   uint32_t room, uint32_t* got, int64_t wait_ns, rm_error* error);
/* How many jobs this participant has not settled. Owner. */
RM_API uint32_t rm_held(const rm_participant* participant);

/* These eight are about a held job. Owner. RM_NOT_HELD, RM_LEASE_LOST. */
RM_API rm_code rm_extend(rm_participant* participant, rm_lease lease, int64_t lease_ms, rm_error* error);
/* 1: rm_cancel() has asked the run to stop. 0 also if it is not held. */
RM_API int rm_should_stop(const rm_participant* participant, rm_lease lease);
/* Nanoseconds until the keeper may give the job to another; 0 or less: it may have. */
RM_API int64_t rm_time_left_ns(const rm_participant* participant, rm_lease lease);
/* How many bytes of a result are kept; SIZE_MAX if the job asked for none. 0 if it is not held. */
RM_API size_t rm_result_room(const rm_participant* participant, rm_lease lease);
/* Any number, and a text of which 64 bytes are kept. */
RM_API rm_code rm_report_progress(rm_participant* participant, rm_lease lease, uint64_t number, rm_bytes text);
/* The jobs that this one has waited for: up to `room` of them go to `ids`. Returns how many there are. Allocates. */
RM_API uint32_t rm_parents(const rm_participant* participant, rm_lease lease, rm_id* ids, uint32_t room);
/* The job's tag, and the traceparent that it was given or has inherited, and a NUL, cut to `room` bytes. Returns the
 * length; 0: none. Allocates. */
RM_API size_t rm_tag(const rm_participant* participant, rm_lease lease, char* text, size_t room);
RM_API size_t rm_trace_parent(const rm_participant* participant, rm_lease lease, char* text, size_t room);

/* --- waits that are slept through elsewhere: threads of a runtime, event loops ------------------------------------ */

/* Begins a wait for jobs, and does not sleep: *mark goes to rm_sleep(). *may_claim 1: there may be a job already; no
 * wait has begun, claim now. A later rm_claim() that waits ends it. Owner. RM_WOULD_BLOCK (rm_wake; all leases are in
 * use), RM_LEVEL_REMOVED, RM_NOT_FOUND (engine removed). */
RM_API rm_code rm_begin_wait(rm_participant* participant, uint32_t* mark, int* may_claim, rm_error* error);
/* Sleeps until a job may be there, rm_wake() is called, or the time is over (a second at most). Returns 1 if something
 * woke it. Any thread, also while the owner is in other calls; not after the participant left. */
RM_API int rm_sleep(const rm_participant* participant, uint32_t mark, int64_t wait_ns);
/* Ends it. claims 0: no claim follows, so a wake-up that came is passed on. Owner. */
RM_API void rm_end_wait(rm_participant* participant, int claims);
/* Passes on a wake-up that ended rm_sleep(), when the owner is too busy to claim soon. Any thread. */
RM_API void rm_pass_on_wake(const rm_participant* participant);

/* --- jobs that depend on each other ------------------------------------------------------------------------------- */

typedef struct rm_graph rm_graph;

/* A set of jobs; takes no room in the engine before it is enqueued. One thread at a time. Allocates. */
RM_API rm_code rm_graph_create(rm_graph** graph, rm_error* error);
/* Adds a job that waits for nodes which were added before. *node: its number. Payload and options are copied. */
RM_API rm_code rm_graph_add(rm_graph* graph, const rm_request* request, const uint32_t* after, uint32_t after_count,
                            uint32_t on_parent_dead, uint32_t* node, rm_error* error);
/* Makes a node wait for jobs of the engine, too. */
RM_API rm_code rm_graph_wait_for(rm_graph* graph, uint32_t node, const rm_id* jobs, uint32_t count, rm_error* error);
/* Enqueues all or none; `ids` has room for one id per node. Owner of the participant. RM_WOULD_BLOCK, RM_TIMED_OUT,
 * RM_NOT_FOUND, RM_NO_SPACE, RM_TOO_LARGE, RM_INVALID_ARGUMENT. */
RM_API rm_code rm_graph_enqueue(const rm_graph* graph, rm_participant* participant, rm_id* ids, int64_t wait_ns,
                                rm_error* error);
/* Makes each node a follow-up of a held job: visible with its completion, dropped with any other end. Owner. */
RM_API rm_code rm_graph_follow(const rm_graph* graph, rm_participant* participant, rm_lease lease, rm_id* ids,
                               int64_t wait_ns, rm_error* error);
RM_API void rm_graph_free(rm_graph* graph);

/* --- looking ------------------------------------------------------------------------------------------------------ */

enum { /* states of a job */
       RM_QUEUED = 0,
       RM_DELAYED = 1,
       RM_BLOCKED = 2,
       RM_RUNNING = 3,
       RM_COMPLETED = 4,
       RM_STATE_DEAD = 5,
       RM_STATE_CANCELLED = 6,
       RM_ENDED = 7 /* over, and nothing was asked to be kept */
};
enum { /* why a job is dead */
       RM_CAUSE_NONE = 0,
       RM_CAUSE_FAILED = 1,
       RM_CAUSE_REJECTED = 2,
       RM_CAUSE_WORKER_LOST = 3,
       RM_CAUSE_LEASE_EXPIRED = 4,
       RM_CAUSE_TIMEOUT = 5,
       RM_CAUSE_EXPIRED = 6,
       RM_CAUSE_PARENT_DEAD = 7
};

typedef struct rm_job rm_job; /* what was known at one moment */
typedef struct rm_job_fields {
  uint32_t size;
  uint32_t state;
  uint32_t cause;
  uint32_t attempts;
  uint32_t max_attempts; /* 0: no bound */
  uint32_t payload_size;
  int32_t worker; /* the participant that holds it, or held it last; -1: none */
  uint32_t result_cut;
  rm_id id;
  int64_t enqueued_unix_ms; /* 0: the moment has not come */
  int64_t started_unix_ms;
  int64_t ended_unix_ms;
  int64_t due_unix_ms;
  uint64_t progress;
  rm_bytes kind; /* the texts live as long as the rm_job */
  rm_bytes level;
  rm_bytes last_error;
  rm_bytes result;
  rm_bytes progress_text;
  rm_id retried_as;   /* a dead letter that was retried: the job that it became; 0: none */
  rm_id retried_from; /* the dead letter that the job comes from; 0: none */
  rm_bytes tag;
  rm_bytes trace_parent;
} rm_job_fields;

/* Looks at a job; or waits until it has ended, in whichever process. Any thread. Allocates.
 * RM_NOT_FOUND (no job ever had this id), RM_TIMED_OUT. */
RM_API rm_code rm_look(const rm_engine* engine, rm_id id, rm_job** job, rm_error* error);
RM_API rm_code rm_wait(const rm_engine* engine, rm_id id, int64_t wait_ns, rm_job** job, rm_error* error);
RM_API rm_code rm_job_read(const rm_job* job, rm_job_fields* fields);
RM_API void rm_job_free(rm_job* job);

typedef struct rm_status rm_status;
typedef struct rm_status_fields {
  uint32_t size;
  uint32_t layout_version;
  uint32_t capacity;
  uint32_t level_count;
  uint32_t participant_count;
  int32_t keeper_pid; /* 0: none */
  uint64_t cells_used;
  uint64_t memory_bytes;
  uint64_t enqueued; /* sums over the engine's life */
  uint64_t completed;
  uint64_t failed;
  uint64_t dead;
  uint64_t worker_lost;
} rm_status_fields;
typedef struct rm_level_fields {
  uint32_t size;
  uint32_t level;
  uint32_t weight;
  uint32_t paused;
  uint64_t queued;
  uint64_t delayed;
  uint64_t blocked;
  uint64_t running;
  rm_bytes name; /* lives as long as the rm_status */
} rm_level_fields;

/* The engine's state. Any thread. Allocates; a pass over all jobs. */
RM_API rm_code rm_look_at_engine(const rm_engine* engine, rm_status** status, rm_error* error);
RM_API rm_code rm_status_read(const rm_status* status, rm_status_fields* fields);
/* `index`: below level_count; the fixed levels come first. RM_NOT_FOUND. */
RM_API rm_code rm_status_level(const rm_status* status, uint32_t index, rm_level_fields* fields);
RM_API void rm_status_free(rm_status* status);

/* --- values: a small key-value store ------------------------------------------------------------------------------ */

enum {
  RM_ONLY_IF_ABSENT = 1, /* rm_value_set() changes nothing if there is a value */
  RM_ONLY_IF_VERSION = 2 /* rm_value_set() changes nothing unless the value is still of `version` */
};

typedef struct rm_value_options {
  uint32_t size;
  uint32_t flags;
  uint32_t durability; /* as of jobs; fixed when the value is made */
  uint32_t reserved;
  int64_t ttl_ms; /* how long the value lives; 0: a day; at most ten years */
  uint64_t version;
} rm_value_options;

typedef struct rm_value rm_value; /* what it was at one moment */

/* All are for the owner, and allocate. Options may be NULL. Any of them: RM_BUSY, if another process stopped while it
 * changed the value. A key has 1 to 144 bytes with the default cells, and a value at most rm_most_payload().
 *
 * Sets a value. `was_set` may be NULL: 0 if a flag kept it from that. RM_TOO_LARGE, RM_NO_SPACE, RM_INVALID_ARGUMENT,
 * RM_WOULD_BLOCK (the table is full). */
RM_API rm_code rm_value_set(rm_participant* participant, rm_bytes key, rm_bytes bytes, const rm_value_options* options,
                            int* was_set, rm_error* error);
/* RM_NOT_FOUND. */
RM_API rm_code rm_value_get(rm_participant* participant, rm_bytes key, rm_value** value, rm_error* error);
/* `was_there` may be NULL. */
RM_API rm_code rm_value_remove(rm_participant* participant, rm_bytes key, int* was_there, rm_error* error);
/* Adds to a decimal number; one that is not there is 0. Each call counts exactly once. The time of a value that is
 * there stays. `number` may be NULL. RM_INVALID_ARGUMENT (no number, or no room in 64 bits), and as rm_value_set(). */
RM_API rm_code rm_value_increment(rm_participant* participant, rm_bytes key, int64_t by,
                                  const rm_value_options* options, int64_t* number, rm_error* error);
/* Gives a value another time to live, from this call on. `was_there` may be NULL. RM_INVALID_ARGUMENT. */
RM_API rm_code rm_value_expire(rm_participant* participant, rm_bytes key, int64_t ttl_ms, int* was_there,
                               rm_error* error);
/* Waits until the key has a value of another version than `seen`; 0: of any. RM_TIMED_OUT, RM_NOT_FOUND (the engine was
 * removed). */
RM_API rm_code rm_value_wait(rm_participant* participant, rm_bytes key, uint64_t seen, int64_t wait_ns,
                             rm_value** value, rm_error* error);
/* The bytes live as long as the rm_value. The version changes with each change of the value. No other value of the key
 * ever has it, and it is never 0. Any thread. */
RM_API rm_bytes rm_value_bytes(const rm_value* value);
RM_API uint64_t rm_value_version(const rm_value* value);
RM_API void rm_value_free(rm_value* value);

#ifdef __cplusplus
}
#endif

#endif
