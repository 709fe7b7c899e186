/* The header is C11 by itself; and a program in C: one job from its enqueue to its end, by libringmill.so.0. */
#include <ringmill/ringmill.h>

#include <stdio.h>
#include <string.h>

static int fails(const char* what, const rm_error* error) {
  fprintf(stderr, "%s: %s (%s)\n", what, rm_code_name(error->code), error->message);
  return 1;
}

static rm_bytes bytes(const char* text) {
  rm_bytes bytes = {text, strlen(text)};
  return bytes;
}

int main(int count, char** arguments) {
  rm_error error = {sizeof error, 0, 0, ""};
  rm_create_options made = {.size = sizeof made, .capacity = 1024};
  rm_engine* engine = NULL;
  rm_participant* participant = NULL;
  rm_request request = {.size = sizeof request};
  rm_claimed job = {.size = sizeof job};
  rm_settlement settlement = {.size = sizeof settlement, .what = RM_COMPLETE};
  rm_id id = 0;
  uint32_t got = 0;
  if (count != 2) return 2;
  if (rm_create(arguments[1], &made, &error) != RM_OK) return fails("create", &error);
  if (rm_open(arguments[1], NULL, &engine, &error) != RM_OK) return fails("open", &error);
  if (rm_attach(engine, RM_WORKER, 0, &participant, &error) != RM_OK) return fails("attach", &error);
  if (rm_kind(engine, bytes("greet"), &request.kind, &error) != RM_OK) return fails("kind", &error);
  if (rm_level(engine, bytes("high"), &request.level, &error) != RM_OK) return fails("level", &error);
  request.payload = bytes("word");
  if (rm_enqueue(participant, &request, 1, &id, NULL, 0, &error) != RM_OK) return fails("enqueue", &error);
  if (rm_claim(participant, &job, 1, &got, 0, &error) != RM_OK) return fails("claim", &error);
  if (job.id != id || job.payload.size != 4 || memcmp(job.payload.data, "word", 4) != 0) return 1;
  settlement.lease = job.lease;
  if (rm_settle(participant, &settlement, 1, &error) != RM_OK) return fails("settle", &error);
  if (rm_settle(participant, &settlement, 1, &error) != RM_NOT_HELD) return 1;
  rm_participant_release(participant);
  rm_engine_release(engine);
  if (rm_remove(arguments[1], 0, &error) != RM_OK) return fails("remove", &error);
  puts("ok");
  return 0;
}
