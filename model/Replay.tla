------------------------------- MODULE Replay -------------------------------
(* Checks that recorded writes of the real code are those of `Transitions`. A row's *)
(* history is a sequence of writes that have landed. Each has the transition, the   *)
(* writer, the row as the writer had read it, and the row after the write.    *)
(* tests/support/histories/write_recorder.py records them.                         *)
EXTENDS Transitions, Sequences, FiniteSets

CONSTANTS
  Rows,      \* all rows that occur, so that writes can refer to them by number
  Histories  \* the histories of all rows, each with its writes in order

VARIABLES
  h,       \* the history
  k,       \* the number of its writes that have been replayed
  write,   \* the next write
  row,
  past,    \* all former states of the row; a writer can't have read another state
  claimed  \* the invocations that have claimed it, with their tokens

vars == <<h, k, write, row, past, claimed>>

(* A write:
     do     the transition                      who    "worker", "timer", "failures", "api"
     by     the invocation                msg    the send id of its message
     took, gave  slots whose items name the row's job since this write, or no longer do
     stole  whether an item named another job before: a job may only take a free slot and free its own
     seen   the row as its writer read it after  the row as the write leaves it
     early, over, expired                 by the writer's clock: before run_at, lease over, expired *)
Last  == [do |-> "none"]   \* after the last write
Following(n) == IF n < Len(Histories[h]) THEN Histories[h][n + 1] ELSE Last
Seen  == Rows[write.seen]
After == Rows[write.after]

(* The numbers of savings and runs only distinguish rows, so they aren't compared. *)
Leaves(r) == [r EXCEPT !.made = 0, !.run = 0] = [After EXCEPT !.made = 0, !.run = 0]
HasRead   == Seen \in past \cup {row}
HasClaim  == <<write.by, Seen.tok>> \in claimed

(* The items of its line change with the row, as in `Slots`. A free slot is taken in the transaction  *)
(* that puts it into the row. Its holder frees it in the transaction that removes it from the row.    *)
Named(r) == IF r.slot = 0 THEN {} ELSE {r.slot}
Items    == write.took = Named(After) \ Named(row) /\ write.gave = Named(row) \ Named(After) /\ ~write.stole

(* A run is ended by its claimer, by the failures function if its message failed, or by the timer   *)
(* after its lease.                                                                                  *)
MayEnd(ok, rescue) ==
  CASE write.who = "worker"   -> ok /\ HasClaim
    [] write.who = "failures" -> ok /\ row.snd = write.msg
    [] write.who = "timer"    -> rescue
    [] OTHER                  -> FALSE

Allowed ==
  CASE write.do = "save"       -> \E later \in BOOLEAN : SaveOk(row, write.expired) /\ Leaves([Save(row, After.most, later) EXCEPT !.key = After.key])
    [] write.do = "claim"      -> /\ write.who = "worker"
                                  /\ \/ ClaimOk(row, write.early) /\ Leaves(Claim(row, After.tok, write.msg))
                                     \/ /\ ClaimInLineOk(row, Seen, write.early) /\ HasRead
                                        /\ Leaves(ClaimInLine(row, After.tok, write.msg, After.slot))
                                        /\ Seen.slot # 0 => After.slot = Seen.slot
    [] write.do = "checkpoint" -> CheckpointOk(row, Seen.tok) /\ HasClaim /\ Leaves(row)
    [] write.do = "renew"      -> RenewOk(row, Seen.tok) /\ HasClaim /\ Leaves(row)
    [] write.do = "succeed"    -> write.who = "worker" /\ MayEnd(SucceedOk(row, Seen.tok), FALSE) /\ Leaves(Succeed(row))
    [] write.do = "fail"       -> MayEnd(FailOk(row, Seen.tok), RescueFailOk(row, Seen, write.over)) /\ Leaves(Fail(row))
    [] write.do = "stop"       -> MayEnd(StopOk(row, Seen.tok), RescueStopOk(row, Seen, write.over)) /\ Leaves(Stop(row))
    [] write.do = "retry"      -> MayEnd(RetryOk(row, Seen.tok), RescueRetryOk(row, Seen, write.over)) /\ Leaves(Retry(row))
    [] write.do = "end_invocation"    -> write.who = "worker" /\ MayEnd(EndInvocationOk(row, Seen.tok), FALSE) /\ Leaves(EndInvocation(row))
    [] write.do = "sleep"      -> write.who = "worker" /\ MayEnd(SleepOk(row, Seen.tok), FALSE) /\ Leaves(Sleep(row))
    [] write.do = "release"    -> write.who = "worker" /\ MayEnd(ReleaseOk(row, Seen.tok), FALSE) /\ Leaves(Release(row))
    [] write.do = "postpone"   -> PostponeOk(row, Seen) /\ HasRead /\ Leaves(row)
    [] write.do = "set_aside"  -> write.who = "timer" /\ row.due /\ Leaves(row)
    [] write.do = "expire"     -> write.who = "timer" /\ ExpireOk(row, Seen) /\ HasRead /\ Leaves(Expire(row))
    [] write.do = "hold"       -> /\ HoldOk(row, Seen) /\ HasRead /\ (row.st = "running" => HasClaim)
                                  /\ Leaves(Hold(row, After.in, After.since)) /\ After.in # "-"
    [] write.do = "wait"       -> write.who = "worker" /\ MayEnd(WaitOk(row, Seen.tok), FALSE) /\ Leaves(Wait(row, After.since))
    [] write.do = "signal"     -> /\ SignalOk(row, Seen) /\ HasRead
                                  /\ Leaves(row) \/ (row.in = "signal" /\ Leaves(Admit(row, 0)))
    [] write.do = "begin_gather" -> write.who = "worker" /\ CheckpointOk(row, Seen.tok) /\ HasClaim /\ Leaves(row)
    [] write.do = "gather"     -> write.who = "worker" /\ MayEnd(GatherOk(row, Seen.tok), FALSE) /\ Leaves(Gather(row, After.since))
    [] write.do = "finish_group" -> FinishGroupOk(row, Seen) /\ HasRead /\ Leaves(Admit(row, 0))
    [] write.do = "record" -> write.who = "worker" /\ CheckpointOk(row, Seen.tok) /\ HasClaim /\ Leaves(row)
    [] write.do = "wait_again" -> write.who = "api" /\ row.st \notin Over /\ Leaves(row)
    [] write.do = "admit"      -> AdmitOk(row, Seen) /\ HasRead /\ Leaves(Admit(row, After.slot))
    [] write.do = "cancel"     -> CancelOk(row, Seen) /\ HasRead /\ Leaves(Cancel(row))
    [] write.do = "cancel_members" -> /\ write.who = "api" /\ HasRead
                                  /\ \/ CancelMembersOk(row) /\ Leaves(CancelMembers(row))
                                     \/ CancelMembersAndWaitOk(row, Seen) /\ Leaves(CancelMembersAndWait(row, After.since))
    [] write.do = "wait_for_members" -> /\ MayEnd(WaitForMembersOk(row, Seen.tok), RescueWaitOk(row, Seen, write.over))
                                  /\ Leaves(WaitForMembers(row, After.since))
    [] write.do = "cancel_parent" -> CancelParentOk(row, Seen) /\ HasRead /\ Leaves(CancelParent(row))
    [] write.do = "request_cancel" -> RequestCancelOk(row) /\ Leaves(RequestCancel(row))
    [] write.do = "requeue"    -> write.who = "api" /\ RequeueOk(row, Seen, write.expired) /\ HasRead
                                  /\ Leaves([Requeue(row) EXCEPT !.key = @ /\ After.key])
    [] write.do = "delete"     -> write.who = "api" /\ DeleteOk(row, Seen) /\ HasRead
    [] OTHER                   -> FALSE

Init == h \in DOMAIN Histories /\ k = 0 /\ write = Following(0) /\ row = NoRow /\ past = {} /\ claimed = {}
Next ==
  /\ k < Len(Histories[h])
  /\ k' = k + 1 /\ write' = Following(k + 1) /\ row' = After /\ past' = past \cup {row} /\ UNCHANGED h
  /\ claimed' = IF write.do = "claim" THEN claimed \cup {<<write.by, After.tok>>} ELSE claimed
Spec == Init /\ [][Next]_vars

(* The model allows each write. *)
Follows == write # Last => Allowed /\ Items
=============================================================================
