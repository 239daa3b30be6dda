------------------------------- MODULE Groups -------------------------------
(* A job R waits for its group: the jobs (members) that it has dispatched. Each member that may be     *)
(* unfinished has a marker. A marker is put before its member's row, and deleted after the member has  *)
(* ended, each in a write of its own. So the markers include every unfinished member. A marker too     *)
(* many only delays R, until the timer deletes it.                                                     *)
(*                                                                                                     *)
(* A step is one write, one transaction, or one read. A transaction becomes visible item by item: until *)
(* it settles, a read may find an item as it was before.                                               *)
EXTENDS Integers, FiniteSets, TLC

CONSTANTS
  Members,   \* numbers: what R dispatches
  Procs,     \* workers, the timer, people: each does one thing at a time
  Kills, Zombies, Raises, Requeues, Cancels, Stops, Again, Strays,
  Timer,     \* whether there is one
  Broken

Without(safeguard) == Broken = safeguard

VARIABLES
  row,   \* member -> st: none, live (queued or running), ok, bad; run: how often it was done again;
         \* mark: the name of the marker that is deleted after its end
  open,  \* member -> its marker: a name that no other process uses, or -1
  bad,   \* members whose failure is recorded
  R,     \* st: queued, run, wait, over, canceled; tok: claims so far; epoch; done: its group has ended;
         \* sealed: all its members are dispatched; stop: it is to be canceled after its members
  was, calm,  \* row, open and R before the last transaction, while it is not settled
  loc, bud

vars == <<row, open, bad, R, was, calm, loc, bud>>

Idle == [pc |-> "idle", m |-> 0, k |-> 0, tok |-> 0, e |-> 0, stop |-> FALSE, todo |-> {}, left |-> {}]
Min(S) == CHOOSE x \in S : \A y \in S : x <= y
Go(p, l) == loc' = [loc EXCEPT ![p] = l]
Rest(p) == Go(p, Idle)
At(p, pc) == loc[p].pc = pc
Spend(what) == bud[what] > 0 /\ bud' = [bud EXCEPT ![what] = @ - 1]
Ended(m) == row[m].st \in {"ok", "bad"}
Past(r) == r.done \/ r.st \in {"over", "canceled"}
Invocation == {"add", "addrow", "begin_wait", "final"}

RSeen == {R} \cup (IF calm THEN {} ELSE {was.R})
RowSeen(m) == {row[m]} \cup (IF calm THEN {} ELSE {was.row[m]})
OpenSeen(m) == {open[m]} \cup (IF calm THEN {} ELSE {was.open[m]})
(* A write of one item: those of items in a transaction wait until that has settled. *)
Plain == calm /\ UNCHANGED calm /\ was' = [row |-> row', open |-> open', R |-> R']
Transaction == calm /\ calm' = FALSE /\ was' = [row |-> row, open |-> open, R |-> R]
Reads == UNCHANGED <<row, open, bad, R, was, calm, bud>>
Settles == ~calm /\ calm' = TRUE /\ was' = [row |-> row, open |-> open, R |-> R] /\ UNCHANGED <<row, open, bad, R, loc, bud>>

Init ==
  /\ row = [m \in Members |-> [st |-> "none", run |-> 0, mark |-> 0]]
  /\ open = [m \in Members |-> -1] /\ bad = {}
  /\ R = [st |-> "queued", tok |-> 0, epoch |-> 0, done |-> FALSE, sealed |-> FALSE, stop |-> FALSE]
  /\ was = [row |-> row, open |-> open, R |-> R] /\ calm = TRUE
  /\ loc = [p \in Procs |-> Idle]
  /\ bud = [kill |-> Kills, zombie |-> Zombies, raise |-> Raises, requeue |-> Requeues, cancel |-> Cancels, stop |-> Stops,
            again |-> Again, stray |-> Strays]

----------------------------------------------------------------------------
(* R: its first invocations dispatch the members, and then it waits. Later invocations dispatch no member. *)

Claim(p) ==
  /\ loc[p] = Idle /\ R.st = "queued"
  /\ R' = [R EXCEPT !.st = "run", !.tok = @ + 1]
  /\ Go(p, [Idle EXCEPT !.tok = R.tok + 1, !.todo = IF R.sealed THEN {} ELSE Members,
            !.pc = IF R.done \/ (Without("wake_is_a_hint") /\ R.sealed) THEN "final"
                   ELSE IF R.sealed THEN "begin_wait" ELSE "add"])
  /\ UNCHANGED <<row, open, bad, bud>> /\ Plain

Step(l) == LET rest == l.todo \ {l.m} IN [l EXCEPT !.pc = IF rest = {} THEN "begin_wait" ELSE "add", !.todo = rest]
PutRow(l) == row' = [row EXCEPT ![l.m] = IF @.st = "none" THEN [st |-> "live", run |-> 0, mark |-> l.tok] ELSE @]
Mark(l) == open' = [open EXCEPT ![l.m] = l.tok]

AddMark(p) ==
  LET l == [loc[p] EXCEPT !.m = Min(loc[p].todo)] IN
  /\ At(p, "add")
  /\ Go(p, IF Without("marker_first") /\ row[l.m].st # "none" THEN Step(l) ELSE [l EXCEPT !.pc = "addrow"])
  /\ IF Without("marker_first") THEN PutRow(l) /\ UNCHANGED open ELSE Mark(l) /\ UNCHANGED row
  /\ UNCHANGED <<bad, R, bud>> /\ Plain

(* A later invocation passes over a member whose row it finds: its marker came before the row. *)
AddSkips(p) ==
  LET l == [loc[p] EXCEPT !.m = Min(loc[p].todo)] IN
  /\ At(p, "add") /\ (\E r \in RowSeen(l.m) : r.st # "none") /\ Go(p, Step(l)) /\ Reads

AddRow(p) ==
  /\ At(p, "addrow") /\ Go(p, Step(loc[p]))
  /\ IF Without("marker_first") THEN Mark(loc[p]) /\ UNCHANGED row ELSE PutRow(loc[p]) /\ UNCHANGED open
  /\ UNCHANGED <<bad, R, bud>> /\ Plain

Wait(p) ==
  /\ At(p, "begin_wait")
  /\ IF R.st = "run" /\ R.tok = loc[p].tok
     THEN /\ R' = [R EXCEPT !.st = "wait", !.sealed = TRUE]
          /\ Go(p, IF Without("sealer_looks") THEN Idle ELSE [Idle EXCEPT !.pc = "look"])
     ELSE UNCHANGED R /\ Rest(p)
  /\ UNCHANGED <<row, open, bad, bud>> /\ Plain

(* It is to be canceled: it dispatches no more members, and waits for those that it has dispatched. *)
WaitEarly(p) ==
  /\ At(p, "add") /\ R.stop /\ R.st = "run" /\ R.tok = loc[p].tok
  /\ R' = [R EXCEPT !.st = "wait"] /\ Go(p, [Idle EXCEPT !.pc = "look"])
  /\ UNCHANGED <<row, open, bad, bud>> /\ Plain

Final(p) ==
  /\ At(p, "final") /\ Rest(p)
  /\ R' = IF R.st = "run" /\ R.tok = loc[p].tok THEN [R EXCEPT !.st = "over"] ELSE R
  /\ UNCHANGED <<row, open, bad, bud>> /\ Plain

(* Its function raises, and it may not be retried. If it is to be canceled after its members, it waits for them. *)
RaisesR(p) ==
  /\ loc[p].pc \in {"add", "addrow"} /\ Spend("raise")
  /\ IF R.st = "run" /\ R.tok = loc[p].tok
     THEN IF R.stop /\ ~Without("stop_held")
          THEN R' = [R EXCEPT !.st = "wait"] /\ Go(p, [Idle EXCEPT !.pc = "look"])
          ELSE R' = [R EXCEPT !.st = "over"] /\ Rest(p)
     ELSE UNCHANGED R /\ Rest(p)
  /\ UNCHANGED <<row, open, bad>> /\ Plain

(* Its claimer is gone, or is frozen and continues later. *)
Rescue ==
  /\ R.st = "run"
  /\ R' = [R EXCEPT !.st = IF ~R.stop THEN "queued" ELSE IF Without("stop_rescued") THEN "over" ELSE "wait"]
  /\ IF \E p \in Procs : loc[p].pc \in Invocation /\ loc[p].tok = R.tok THEN Spend("zombie") ELSE UNCHANGED bud
  /\ UNCHANGED <<row, open, bad, loc>> /\ Plain

----------------------------------------------------------------------------
(* The finish check: R first, then every shard, then R as it was read *)

Looks(p) ==
  /\ At(p, "look")
  /\ IF Without("r_first") THEN Go(p, [loc[p] EXCEPT !.pc = "query", !.left = Members])
     ELSE \E r \in RSeen :
       IF r.st = "wait" /\ ~r.done
       THEN Go(p, [loc[p] EXCEPT !.pc = "query", !.tok = r.tok, !.e = r.epoch, !.stop = r.stop,
                   !.left = IF r.stop /\ Without("stop_looks") THEN {}
                            ELSE IF Without("own_again") THEN Members \ {loc[p].m} ELSE Members])
       ELSE Rest(p)
  /\ Reads

Queries(p) ==
  LET l == loc[p] m == Min(l.left) IN
  /\ At(p, "query") /\ l.left # {}
  /\ \E o \in OpenSeen(m) : IF o # -1 THEN Rest(p) ELSE Go(p, [l EXCEPT !.left = @ \ {m}])
  /\ Reads

ReadsLate(p) ==   \* only in a twin: R is read after the shards
  /\ Without("r_first") /\ At(p, "query") /\ loc[p].left = {} /\ loc[p].k # 99
  /\ \E r \in RSeen : IF r.st = "wait" /\ ~r.done
                      THEN Go(p, [loc[p] EXCEPT !.tok = r.tok, !.e = r.epoch, !.k = 99]) ELSE Rest(p)
  /\ Reads

Admits(p) ==
  LET l == loc[p] IN
  /\ At(p, "query") /\ l.left = {} /\ (Without("r_first") => l.k = 99) /\ Rest(p)
  /\ R' = IF /\ (R.st = "wait" \/ Without("admit_asks"))
             /\ (R.tok = l.tok \/ Without("wait_fence"))
             /\ (R.epoch = l.e \/ Without("epoch") \/ (l.stop /\ Without("stop_epoch")))
             /\ (R.stop = l.stop \/ Without("stop_asked"))
          THEN IF l.stop THEN [R EXCEPT !.st = "canceled"] ELSE [R EXCEPT !.st = "queued", !.done = TRUE]
          ELSE R
  /\ UNCHANGED <<row, open, bad, bud>> /\ Plain

----------------------------------------------------------------------------
(* A member ends. Then its failure is recorded, then its marker is deleted, then R is checked. *)

Ends(p) ==
  /\ loc[p] = Idle
  /\ \E m \in Members, s \in {"ok", "bad"} :
       /\ row[m].st = "live" /\ row' = [row EXCEPT ![m].st = s]
       /\ Go(p, [Idle EXCEPT !.pc = IF s = "bad" /\ ~Without("flag_first") THEN "flag" ELSE "unmark", !.m = m, !.k = row[m].mark,
                             !.e = IF s = "bad" THEN 1 ELSE 0])
  /\ UNCHANGED <<open, bad, R, bud>> /\ Plain

Flags(p) ==
  /\ At(p, "flag") /\ bad' = bad \cup {loc[p].m}
  /\ IF Without("flag_first") THEN Go(p, [loc[p] EXCEPT !.pc = "own"]) ELSE Go(p, [loc[p] EXCEPT !.pc = "unmark"])
  /\ UNCHANGED <<row, open, R, was, calm, bud>>

Unmarks(p) ==
  LET l == loc[p] IN
  /\ At(p, "unmark") /\ Go(p, [l EXCEPT !.pc = IF Without("flag_first") /\ l.e = 1 THEN "flag" ELSE "own"])
  /\ open' = IF open[l.m] = l.k \/ Without("unmark_fence") THEN [open EXCEPT ![l.m] = -1] ELSE open
  /\ UNCHANGED <<row, bad, R, bud>> /\ Plain

(* Its own shard: R is read only where that is empty, and then this shard is queried again. *)
Own(p) ==
  /\ At(p, "own")
  /\ \E o \in OpenSeen(loc[p].m) : IF o # -1 THEN Rest(p) ELSE Go(p, [loc[p] EXCEPT !.pc = "look"])
  /\ Reads

----------------------------------------------------------------------------
(* A failed member is retried manually: a fresh marker comes first *)

Retries(p) ==
  /\ loc[p] = Idle /\ bud.requeue > 0
  /\ \E m \in Members, r \in RSeen :
       LET next == IF Past(r) THEN "plain" ELSE "again"
           unmarked == Without("marked_before") \/ (Past(r) /\ Without("plain_marked")) IN
       /\ row[m].st = "bad"
       /\ Go(p, [Idle EXCEPT !.pc = IF unmarked THEN next ELSE "mark", !.m = m, !.k = row[m].run,
                 !.tok = 10 + bud.requeue, !.todo = {row[m].mark}, !.e = IF Past(r) THEN 1 ELSE 0])
  /\ bud' = [bud EXCEPT !.requeue = @ - 1]
  /\ UNCHANGED <<row, open, bad, R, was, calm>>

(* The marker of another retry stays, and counts for this one. That of the run that has ended is replaced: *)
(* the process that ended that run may be about to delete it. Names of markers of retries are above 10.    *)
MarksAgain(p) ==
  LET l == loc[p]
      adopts == open[l.m] > 10 /\ (open[l.m] \notin l.todo \/ Without("ended_mark"))
      after == [l EXCEPT !.pc = IF l.e = 1 THEN "plain" ELSE "again", !.todo = {}] IN
  /\ At(p, "mark")
  /\ IF adopts /\ ~Without("adopts") THEN Go(p, [after EXCEPT !.tok = open[l.m]]) /\ UNCHANGED open
     ELSE Go(p, after) /\ Mark(l)
  /\ UNCHANGED <<row, bad, R, bud>> /\ Plain

IsMarked(l) == open[l.m] = l.tok \/ Without("marker_checked") \/ Without("marked_before")
Again1(l) == row' = [row EXCEPT ![l.m] = [st |-> "live", run |-> @.run + 1, mark |-> l.tok]]
AsRead(l) == row[l.m].st = "bad" /\ row[l.m].run = l.k

QueuesAgain(p) ==
  LET l == loc[p] IN
  /\ At(p, "again") /\ Rest(p)
  /\ IF AsRead(l) /\ ~Past(R) /\ IsMarked(l)
     THEN /\ Again1(l) /\ R' = [R EXCEPT !.epoch = @ + 1]
          /\ open' = IF Without("marked_before") THEN [open EXCEPT ![l.m] = l.tok] ELSE open
          /\ Transaction
     ELSE UNCHANGED <<row, open, R>> /\ Plain
  /\ UNCHANGED <<bad, bud>>

(* R has continued, or has ended: the same transaction checks that. If R is retried later, it finds the marker. *)
QueuesAlone(p) ==
  LET l == loc[p] IN
  /\ At(p, "plain") /\ Rest(p)
  /\ IF AsRead(l) /\ (Past(R) \/ Without("plain_checked")) /\ (IsMarked(l) \/ Without("plain_marked"))
     THEN Again1(l) /\ UNCHANGED <<open, R>> /\ Transaction
     ELSE UNCHANGED <<row, open, R>> /\ Plain
  /\ UNCHANGED <<bad, bud>>

----------------------------------------------------------------------------
(* The timer deletes markers whose job has ended, and then checks R *)

TimerLooks(p) ==
  /\ Timer /\ ~Without("timer") /\ loc[p] = Idle /\ R.st = "wait" /\ ~R.done
  /\ Go(p, [Idle EXCEPT !.pc = "sweep", !.left = Members]) /\ Reads

(* A marker without a row stays until the invocation that may be about to save that row is surely over. *)
MayGo(m) == ~\E q \in Procs : At(q, "addrow") /\ loc[q].m = m

Sweeps(p) ==
  LET l == loc[p] m == Min(l.left) IN
  /\ At(p, "sweep")
  /\ IF l.left = {} THEN Go(p, [Idle EXCEPT !.pc = "look"])
     ELSE \E o \in OpenSeen(m), r \in RowSeen(m) :
            IF o # -1 /\ r.st # "live" /\ (r.st # "none" \/ MayGo(m) \/ Without("sweep_waits"))
            THEN Go(p, [l EXCEPT !.pc = IF r.st = "bad" THEN "sflag" ELSE "sdel", !.m = m, !.k = o, !.left = @ \ {m}])
            ELSE Go(p, [l EXCEPT !.left = @ \ {m}])
  /\ Reads

SweepFlags(p) ==
  /\ At(p, "sflag") /\ bad' = bad \cup {loc[p].m} /\ Go(p, [loc[p] EXCEPT !.pc = "sdel"])
  /\ UNCHANGED <<row, open, R, was, calm, bud>>

SweepDeletes(p) ==
  LET l == loc[p] IN
  /\ At(p, "sdel") /\ Go(p, [l EXCEPT !.pc = "sweep", !.m = 0, !.k = 0])
  /\ IF (row[l.m].st # "live" \/ Without("sweep_checks")) /\ (open[l.m] = l.k \/ Without("sweep_checks"))
        /\ (row[l.m].st = "bad" => l.m \in bad)
     THEN open' = [open EXCEPT ![l.m] = -1] /\ UNCHANGED <<row, R>> /\ Transaction
     ELSE UNCHANGED <<row, open, R>> /\ Plain
  /\ UNCHANGED <<bad, bud>>

----------------------------------------------------------------------------
(* People, stray wake-ups, kills *)

CancelsR ==
  /\ R.st \in {"wait", "queued"} /\ Spend("cancel") /\ R' = [R EXCEPT !.st = "canceled"]
  /\ UNCHANGED <<row, open, bad, loc>> /\ Plain
(* R is to be canceled with its members. They end as failed ones do: see Ends. Between two invocations, R begins to wait. *)
CancelsAll(p) ==
  /\ loc[p] = Idle /\ (R.st \in {"run", "wait"} \/ (R.st = "queued" /\ R.tok > 0)) /\ ~R.done /\ Spend("stop")
  /\ R' = [R EXCEPT !.stop = TRUE, !.st = IF @ = "queued" THEN "wait" ELSE @]
  /\ IF R.st # "run" THEN Go(p, [Idle EXCEPT !.pc = "look"]) ELSE UNCHANGED loc
  /\ UNCHANGED <<row, open, bad>> /\ Plain
AgainR ==
  /\ R.st = "canceled" /\ Spend("again") /\ R' = [R EXCEPT !.st = "queued", !.stop = FALSE]
  /\ UNCHANGED <<row, open, bad, loc>> /\ Plain
(* The job is admitted for no reason.                                            *)
StrayAdmit ==
  /\ R.st = "wait" /\ Spend("stray") /\ R' = [R EXCEPT !.st = "queued"]
  /\ UNCHANGED <<row, open, bad, loc>> /\ Plain
Kill(p) == loc[p] # Idle /\ Spend("kill") /\ Rest(p) /\ UNCHANGED <<row, open, bad, R, was, calm>>

Goes(p) ==
  \/ AddMark(p) \/ AddSkips(p) \/ AddRow(p) \/ Wait(p) \/ WaitEarly(p) \/ Final(p) \/ Looks(p) \/ Queries(p) \/ ReadsLate(p) \/ Admits(p)
  \/ Flags(p) \/ Unmarks(p) \/ Own(p) \/ MarksAgain(p) \/ QueuesAgain(p) \/ QueuesAlone(p)
  \/ Sweeps(p) \/ SweepFlags(p) \/ SweepDeletes(p)
Next ==
  \/ Settles \/ Rescue \/ CancelsR \/ AgainR \/ StrayAdmit
  \/ \E p \in Procs : Goes(p) \/ Claim(p) \/ Ends(p) \/ Retries(p) \/ TimerLooks(p) \/ CancelsAll(p) \/ RaisesR(p) \/ Kill(p)
Spec == Init /\ [][Next]_vars
Live ==
  /\ Spec /\ WF_vars(Settles) /\ WF_vars(Rescue)
  /\ \A p \in Procs : WF_vars(Goes(p)) /\ SF_vars(Claim(p)) /\ SF_vars(Ends(p)) /\ SF_vars(TimerLooks(p))
Symmetric == Permutations(Procs)

----------------------------------------------------------------------------
(* R continues only after every member has ended. *)
After == [][~R.done /\ R'.done => \A m \in Members : Ended(m)]_vars
(* Its function gets results only after that. *)
BegunDone == \A p \in Procs : loc[p].pc = "final" => R.done
(* R continues once for each finish, and what is over stays over. *)
Once == [][/\ R.st = "over" => R'.st = "over"
           /\ R.st = "canceled" => R'.st = "canceled" \/ bud'.again # bud.again
           /\ (R.st = "run" /\ R'.st = "queued") => \/ bud' # bud
                                                    \/ ~\E p \in Procs : loc[p].pc \in Invocation /\ loc[p].tok = R.tok
           /\ R.done => R'.done]_vars
(* R is canceled with its members only after every member has ended. *)
Stopped == [][R.st = "wait" /\ R'.st = "canceled" /\ bud'.cancel = bud.cancel => \A m \in Members : row[m].st # "live"]_vars
(* Once that was accepted, R doesn't end in another way. *)
Heard == [][R.stop => R'.st # "over"]_vars
(* Each unfinished member has a marker, as long as R may wait for it. *)
Marked == ~R.done /\ calm => \A m \in Members : row[m].st = "live" => open[m] # -1
(* No retry puts a marker of its own behind a member that another retry has queued: its end would not delete it. *)
OwnMark == calm => \A m \in Members : row[m].st = "live" /\ row[m].mark > 10 /\ open[m] > 10 => open[m] = row[m].mark
(* Each failure is recorded before R continues. *)
Flagged == [][~R.done /\ R'.done => \A m \in Members : row[m].st = "bad" => m \in bad]_vars
(* When no process has anything left to do, R has ended. *)
NoStall == (~ENABLED Next) => R.st \in {"over", "canceled"}
(* In the end, R has run or was canceled. *)
Finishes == <>[](R.st \in {"over", "canceled"})
=============================================================================
