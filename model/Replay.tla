------------------------------- MODULE Replay -------------------------------
(* Whether recorded writes of the real code are those of `Verbs`. A history   *)
(* of a row is a sequence of writes that have landed, each with the verb that *)
(* made it, who wrote, what that one had read of the row, and the row after.  *)
(* testing/simulation/write_recorder.py records them.                         *)
EXTENDS Verbs, Sequences, FiniteSets

CONSTANTS
  Rows,      \* the rows that occur, so that a write can say which by a number
  Histories  \* of each row, its writes in order

VARIABLES
  h,       \* which history
  k,       \* how many of its writes have been followed
  write,   \* the one that is next
  row,
  past,    \* what the row has been: nobody can have read anything else
  claimed  \* who has claimed it, with which token

vars == <<h, k, write, row, past, claimed>>

(* A write:
     do     the verb                      who    "worker", "timer", "failures", "api"
     by     the invocation                msg    send id of the message that it is about
     took, gave  slots whose items came to name the row's job with it, or no longer do
     stole  whether an item named another before: only a free slot is taken, and its own given back
     seen   the row as its writer has it  after  the row as the write leaves it
     early, over, expired                 by the writer's clock: run_at to come, lease over, expired *)
Last  == [do |-> "none"]   \* when none is left
Following(n) == IF n < Len(Histories[h]) THEN Histories[h][n + 1] ELSE Last
Seen  == Rows[write.seen]
After == Rows[write.after]

(* Numbers of savings and runs only tell rows apart. *)
Leaves(r) == [r EXCEPT !.made = 0, !.run = 0] = [After EXCEPT !.made = 0, !.run = 0]
HasRead   == Seen \in past \cup {row}
HasClaim  == <<write.by, Seen.tok>> \in claimed

(* The items of its line change with the row, as in `Slots`: a slot is taken that was free, and given *)
(* back by its holder, in the transaction in which the row comes to name it, or no longer does.      *)
Named(r) == IF r.slot = 0 THEN {} ELSE {r.slot}
Items    == write.took = Named(After) \ Named(row) /\ write.gave = Named(row) \ Named(After) /\ ~write.stole

(* How a run ends: by its claimer; settled for one whose message failed; rescued, its lease over. *)
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
    [] write.do = "end_leg"    -> write.who = "worker" /\ MayEnd(EndLegOk(row, Seen.tok), FALSE) /\ Leaves(EndLeg(row))
    [] write.do = "release"    -> write.who = "worker" /\ MayEnd(ReleaseOk(row, Seen.tok), FALSE) /\ Leaves(Release(row))
    [] write.do = "postpone"   -> PostponeOk(row, Seen) /\ HasRead /\ Leaves(row)
    [] write.do = "set_aside"  -> write.who = "timer" /\ row.due /\ Leaves(row)
    [] write.do = "expire"     -> write.who = "timer" /\ ExpireOk(row, Seen) /\ HasRead /\ Leaves(Expire(row))
    [] write.do = "park"       -> /\ ParkOk(row, Seen) /\ HasRead /\ (row.st = "running" => HasClaim)
                                  /\ Leaves(Park(row, After.in, After.since)) /\ After.in # "-"
    [] write.do = "admit"      -> AdmitOk(row, Seen) /\ HasRead /\ Leaves(Admit(row, After.slot))
    [] write.do = "cancel"     -> write.who = "api" /\ CancelOk(row, Seen) /\ HasRead /\ Leaves(Cancel(row))
    [] write.do = "request_cancel" -> write.who = "api" /\ RequestCancelOk(row) /\ Leaves(RequestCancel(row))
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

(* Each write is one that the model has. *)
Follows == write # Last => Allowed /\ Items
=============================================================================
