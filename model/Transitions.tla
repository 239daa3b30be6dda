------------------------------- MODULE Transitions -------------------------------
(* The transitions that change a job's row. Each has an operator for the write's    *)
(* condition and one for the row that the write leaves. They correspond to    *)
(* job_runners/store/transitions and job_runners/store/caller_transitions.py; README.md has the table.             *)
(*                                                                            *)
(* `Lifecycle` explores what processes may do with the transitions. `Replay` checks *)
(* that each write in recorded histories is one of them. Both use the         *)
(* conditions and effects in this module.                                     *)
EXTENDS Naturals

CONSTANT Broken   \* the safeguard that a twin lacks; "none" for the model itself

Without(safeguard) == Broken = safeguard

(* A row. Tokens and send ids are numbers, and 0 stands for none.              *)
(*   st     status, "none" if there is no row                                  *)
(*   tok    claim_token          snd   send_id                                 *)
(*   att    attempt              most  max_attempts         invocations  invocations          *)
(*   lease  whether it has a lease_until                                       *)
(*   due    whether it has a due_at, so that the timer checks it               *)
(*   can    cancel_requested     mem  cancel_members: it is canceled after its members *)
(*   slot   its slot in its line, 0 for none        adm    admitted_at         *)
(*   in     "pause", "line", "signal", "group", or "-"    since  waiting_since *)
(*   key    whether it has a concurrency_key: its queue has, or has had, limits      *)
(*   made   the number of its saving, which created_key identifies             *)
(*   run    the number of its saving or requeue, which finished_at identifies  *)
Unclaimed == {"queued", "scheduled", "retryable"}
Over      == {"succeeded", "failed", "canceled"}
Statuses  == {"none", "waiting", "running"} \cup Unclaimed \cup Over

NoRow == [st |-> "none", tok |-> 0, snd |-> 0, att |-> 0, most |-> 0, invocations |-> 0,
          lease |-> FALSE, due |-> FALSE, can |-> FALSE, mem |-> FALSE, slot |-> 0, adm |-> FALSE, in |-> "-",
          since |-> 0, key |-> FALSE, made |-> 0, run |-> 0]

----------------------------------------------------------------------------
(* Conditions that transitions share: job_runners/store/conditional_write.py *)

Owned(r, t)     == (r.st = "running" /\ (r.tok = t \/ Without("token")))
NotCanceled(r) == (~r.can /\ ~r.mem) \/ Without("cancel_heard")
AsRead(r, seen) == r.st = seen.st /\ r.tok = seen.tok /\ r.slot = seen.slot /\ r.adm = seen.adm

(* Rescue: the row runs under the claim as read, and its lease is over by the writer's clock. *)
LeaseExpired(r, seen, over) ==
  /\ r.st = "running" /\ r.tok = seen.tok
  /\ over \/ Without("lease_waited_for")

(* Effects that transitions share *)
WithoutRoom(r) == [r EXCEPT !.slot = 0, !.adm = FALSE]
NotHeld(r)     == [r EXCEPT !.in = "-", !.since = 0]
Queued(r)      == [r EXCEPT !.st = "queued", !.lease = FALSE, !.due = TRUE]
Ended(r, s)    == [NotHeld(WithoutRoom(r)) EXCEPT !.st = s, !.lease = FALSE, !.due = FALSE]

----------------------------------------------------------------------------
(* For each transition: whether its condition holds for row r, and the row afterwards. *)

SaveOk(r, expired) ==
  r.st = "none" \/ (r.st \in Over /\ expired) \/ Without("save_asks")
Save(r, most, later) ==
  [NoRow EXCEPT !.st = IF later THEN "scheduled" ELSE "queued", !.att = 1, !.most = most,
                !.due = TRUE, !.made = r.made + 1, !.run = r.run + 1]

ClaimOk(r, early) ==
  \/ r.st = "queued"
  \/ r.st \in {"scheduled", "retryable"} /\ (~early \/ Without("claim_waits"))
  \/ r.st \in {"running"} /\ Without("claim_asks_status")
Claim(r, t, s) ==
  [r EXCEPT !.st = "running", !.tok = t, !.snd = s, !.invocations = @ + 1, !.lease = TRUE, !.adm = FALSE,
            !.due = ~Without("claim_stays_due")]
(* A claim in a queue with limits, with a new slot or the one that the row already has. *)
ClaimInLineOk(r, seen, early) == ClaimOk(r, early) /\ AsRead(r, seen)
ClaimInLine(r, t, s, slot)    == [Claim(r, t, s) EXCEPT !.slot = slot, !.key = TRUE]

CheckpointOk(r, t) == Owned(r, t)
RenewOk(r, t)      == Owned(r, t)

SucceedOk(r, t) == Owned(r, t) /\ ~r.mem
Succeed(r)      == Ended(r, "succeeded")

FailOk(r, t)    == Owned(r, t) /\ NotCanceled(r)
Fail(r)         == Ended(r, "failed")

StopOk(r, t)    == Owned(r, t) /\ r.can /\ ~r.mem
Stop(r)         == Ended(r, "canceled")

RetryOk(r, t)   == Owned(r, t) /\ r.att < r.most /\ NotCanceled(r)
Retry(r)        == [WithoutRoom(r) EXCEPT !.st = "retryable", !.att = @ + 1, !.lease = FALSE, !.due = TRUE]

EndInvocationOk(r, t)  == Owned(r, t) /\ NotCanceled(r)
EndInvocation(r)       == [Queued(r) EXCEPT !.adm = r.key]

SleepOk(r, t)   == Owned(r, t) /\ NotCanceled(r)
Sleep(r)        == [WithoutRoom(r) EXCEPT !.st = "scheduled", !.lease = FALSE, !.due = TRUE]

ReleaseOk(r, t) == Owned(r, t) /\ NotCanceled(r)
Release(r)      == [Queued(r) EXCEPT !.invocations = @ - 1, !.adm = r.key]

(* The same ends, written by the timer for a claimer that is dead. *)
RescueFailOk(r, seen, over)  == LeaseExpired(r, seen, over) /\ NotCanceled(r)
RescueStopOk(r, seen, over)  == LeaseExpired(r, seen, over) /\ r.can /\ ~r.mem
RescueRetryOk(r, seen, over) == LeaseExpired(r, seen, over) /\ r.att < r.most /\ NotCanceled(r)

(* Holds a job that could start, that runs under our claim, or that waits already. *)
HoldOk(r, seen)     == r.st \notin Over /\ AsRead(r, seen) /\ NotCanceled(r)
Hold(r, in, since)  == [WithoutRoom(r) EXCEPT !.st = "waiting", !.in = in, !.since = since, !.lease = FALSE,
                                              !.due = TRUE, !.key = @ \/ in = "line"]
AdmitOk(r, seen)    == r.st = "waiting" /\ AsRead(r, seen) /\ r.since = seen.since
Admit(r, slot)      == [NotHeld(Queued(r)) EXCEPT !.slot = slot, !.adm = (r.in = "line")]

(* A running job waits for a signal. A signal that comes admits the job if it waits for that signal. *)
WaitOk(r, t)        == Owned(r, t) /\ NotCanceled(r)
Wait(r, since)      == Hold(r, "signal", since)
SignalOk(r, seen)   == r.st \notin Over /\ r.st = seen.st /\ r.tok = seen.tok /\ r.in = seen.in

(* A running job waits for its group. It continues when no marker of a member is left, if it still   *)
(* waits under the claim that was read before the markers.                                           *)
GatherOk(r, t)      == Owned(r, t) /\ NotCanceled(r)
Gather(r, since)    == Hold(r, "group", since)
WaitsAsRead(r, seen)   == r.st = "waiting" /\ r.in = "group" /\ r.tok = seen.tok
FinishGroupOk(r, seen) == WaitsAsRead(r, seen) /\ ~r.mem

(* It is to be canceled with its members. However its invocation ends, the row waits for the group.  *)
(* If no invocation has it, the request itself makes it wait. It is canceled when no marker is left. *)
WaitForMembersOk(r, t)           == Owned(r, t) /\ r.mem
RescueWaitOk(r, seen, over)      == LeaseExpired(r, seen, over) /\ r.mem
WaitForMembers(r, since)         == Hold(r, "group", since)
CancelMembersOk(r)               == r.st = "running"
CancelMembers(r)                 == [r EXCEPT !.mem = TRUE]
CancelMembersAndWaitOk(r, seen)  == r.st \notin Over \cup {"running"} /\ AsRead(r, seen)
CancelMembersAndWait(r, since)   == [Hold(r, "group", since) EXCEPT !.mem = TRUE]
CancelParentOk(r, seen)          == WaitsAsRead(r, seen) /\ r.mem
CancelParent(r)                  == Ended(r, "canceled")

PostponeOk(r, seen) == AsRead(r, seen) /\ r.due
ExpireOk(r, seen)   ==
  /\ r.st \in Unclaimed \cup {"waiting"}
  /\ AsRead(r, seen) \/ Without("expire_as_read")
Expire(r)           == Ended(r, "failed")

CancelOk(r, seen)  == \/ r.st \in Unclaimed \cup {"waiting"} /\ AsRead(r, seen)
                      \/ r.st = "running" /\ Without("cancel_asks")
Cancel(r)          == [Ended(r, "canceled") EXCEPT !.mem = FALSE]
RequestCancelOk(r) == r.st = "running"
RequestCancel(r)   == [r EXCEPT !.can = TRUE]

RequeueOk(r, seen, expired) ==
  \/ r.st \in {"failed", "canceled"} /\ r.run = seen.run /\ ~expired
  \/ r.st \in {"running"} /\ Without("requeue_asks")
Requeue(r) ==
  [Queued(WithoutRoom(r)) EXCEPT !.tok = 0, !.snd = 0, !.att = 1, !.invocations = 0, !.can = FALSE, !.mem = FALSE,
                             !.run = @ + 1]

DeleteOk(r, seen) ==
  /\ r.st \in Over \/ Without("delete_asks_status")
  /\ r.made = seen.made \/ Without("delete_asks_which")
Delete(r) == [NoRow EXCEPT !.made = r.made, !.run = r.run]   \* numbers are never used again

=============================================================================
