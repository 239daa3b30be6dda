------------------------------- MODULE Unique -------------------------------
(* One key of unique work: its record, the job that has the key, and the job   *)
(* that follows it. A step is one transaction or one read.                     *)
(*                                                                             *)
(* A transaction becomes visible item by item. Until it has settled, a read    *)
(* may find an item as it was before. Writes to the same items wait for that.  *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
  Jobs,
  People,  \* callers that dispatch, manual retry and end jobs; each does one thing at a time
  Again,   \* the largest number of requeues
  Cancels, \* the largest number of cancels of jobs that follow
  Leftovers, \* the largest number of jobs that end without giving up their key
  Broken

Without(safeguard) == Broken = safeguard

VARIABLES
  row,  \* job -> st, its status; behind, the job that it waits for
  rec,  \* h and f: the job that has the key and the one that follows, or None
  was,  \* row and rec before the last transaction, until that has settled
  calm, \* whether the last transaction has settled
  loc,  \* person -> its next step, with what it has read
  bud   \* how often each event may still happen

vars == <<row, rec, was, calm, loc, bud>>

None  == "none"
Idle  == [pc |-> "idle", j |-> None, r |-> [h |-> None, f |-> None], ok |-> FALSE]
Live  == {"open", "run"}
Ended(j)     == row[j].st \in {"absent", "done"}
Waits(j, h)  == row[j].st = "wait" /\ row[j].behind = h
Spend(what)  == bud[what] > 0 /\ bud' = [bud EXCEPT ![what] = @ - 1]
(* The values that a read may find. *)
Recs    == {rec} \cup (IF calm THEN {} ELSE {was.rec})
Rows(j) == {row[j]} \cup (IF calm THEN {} ELSE {was.row[j]})
(* A transaction. *)
Writes(newrow, newrec) ==
  /\ row' = newrow /\ rec' = newrec
  /\ was' = [row |-> row, rec |-> rec] /\ calm' = FALSE
Refused == UNCHANGED <<row, rec, was, calm>>
Goes(p, l) == loc' = [loc EXCEPT ![p] = l]
Rests(p)   == Goes(p, Idle)
AsRead(r)  == Without("as_read") \/ (rec.h = r.h /\ (rec.f = r.f \/ Without("follower_as_read")))
Held(j)    == [h |-> j, f |-> None]
Free       == Held(None)
Symmetric  == Permutations(Jobs) \cup Permutations(People)
Open       == [st |-> "open", behind |-> None]
Done       == [st |-> "done", behind |-> None]

Init ==
  /\ row = [j \in Jobs |-> [st |-> "absent", behind |-> None]] /\ rec = Free
  /\ was = [row |-> row, rec |-> rec] /\ calm = TRUE
  /\ loc = [p \in People |-> Idle] /\ bud = [again |-> Again, left |-> Leftovers, cancel |-> Cancels]

Settles == ~calm /\ calm' = TRUE /\ was' = [row |-> row, rec |-> rec] /\ UNCHANGED <<row, rec, loc, bud>>

----------------------------------------------------------------------------
(* A caller that dispatches a job, or retries one, finds out which job has the key *)

Asks(p) ==
  /\ loc[p] = Idle
  /\ \E j \in Jobs :
       \/ row[j].st = "absent" /\ UNCHANGED bud /\ Goes(p, [Idle EXCEPT !.pc = "look", !.j = j])
       \/ row[j].st = "done" /\ Spend("again") /\ Goes(p, [Idle EXCEPT !.pc = "look", !.j = j])
  /\ UNCHANGED <<row, rec, was, calm>>

ReadsRecord(p) ==
  /\ loc[p].pc = "look"
  /\ \E r \in Recs : Goes(p, [loc[p] EXCEPT !.r = r, !.pc = IF r.h = None THEN "take" ELSE "row"])
  /\ UNCHANGED <<row, rec, was, calm, bud>>

(* Reads the rows of the job that has the key and of the one that follows. *)
ReadsRows(p) ==
  LET l == loc[p] IN
  /\ l.pc = "row"
  /\ \E h \in Rows(l.r.h) :
       IF h.st \in Live
       THEN IF row[l.j].st # "absent" \/ h.st # "run" THEN Rests(p)
            ELSE IF l.r.f = None THEN Goes(p, [l EXCEPT !.pc = "follow"])
            ELSE \E f \in Rows(l.r.f) :
                   Goes(p, IF f = [st |-> "wait", behind |-> l.r.h] THEN Idle ELSE [l EXCEPT !.pc = "follow"])
       ELSE IF l.r.f = None THEN Goes(p, [l EXCEPT !.pc = "take"])
       ELSE \E f \in Rows(l.r.f) :
              Goes(p, [l EXCEPT !.pc = IF f = [st |-> "wait", behind |-> l.r.h] THEN "lift" ELSE "take"])
  /\ UNCHANGED <<row, rec, was, calm, bud>>

(* The transaction checks the row of the job that had the key; a job's own row needs no such check. *)
MayTake(j, r) == AsRead(r) /\ (r.h \in {None, j} \/ Ended(r.h) \/ Without("row_checked"))

(* It also checks the row of the job that followed, if that was found not to wait.                  *)
NoneBehind(r) == r.f = None \/ ~Waits(r.f, r.h) \/ Without("follower_checked")

Takes(p) ==
  LET l == loc[p] IN
  /\ l.pc = "take" /\ calm /\ Rests(p)
  /\ IF Ended(l.j) /\ MayTake(l.j, l.r)
        /\ NoneBehind(l.r)
     THEN Writes([row EXCEPT ![l.j] = Open], Held(l.j))
     ELSE Refused
  /\ UNCHANGED bud

Follows(p) ==
  LET l == loc[p] IN
  /\ l.pc = "follow" /\ calm /\ Rests(p)
  /\ IF row[l.j].st = "absent" /\ AsRead(l.r) /\ NoneBehind(l.r)
     THEN Writes([row EXCEPT ![l.j] = [st |-> "wait", behind |-> l.r.h]], [rec EXCEPT !.f = l.j])
     ELSE Refused
  /\ UNCHANGED bud

(* The job that follows an ended job comes before the job that the caller asks for. *)
Lifts(p) ==
  LET l == loc[p] IN
  /\ l.pc = "lift" /\ calm /\ Rests(p)
  /\ IF Waits(l.r.f, l.r.h) /\ MayTake(l.r.f, l.r)
     THEN Writes([row EXCEPT ![l.r.f] = Open], Held(l.r.f))
     ELSE Refused
  /\ UNCHANGED bud

----------------------------------------------------------------------------
(* Claims and ends *)

Begins(j) ==
  /\ row[j].st = "open" /\ calm
  /\ Writes([row EXCEPT ![j].st = "run"], rec) /\ UNCHANGED <<loc, bud>>

(* The process that ends a job first tries as if no job followed. *)
EndsAlone(j) ==
  /\ row[j].st \in Live /\ calm /\ rec.h = j
  /\ rec.f = None \/ Without("alone")
  /\ Writes([row EXCEPT ![j] = Done], IF Without("gives_up") THEN rec ELSE Free)
  /\ UNCHANGED <<loc, bud>>

LooksWhoFollows(p) ==
  /\ loc[p] = Idle
  /\ \E r \in Recs :
       /\ r.h # None /\ r.f # None /\ row[r.h].st \in Live
       /\ \E f \in Rows(r.f) :
            Goes(p, [Idle EXCEPT !.pc = "hand", !.j = r.h, !.r = r,
                                 !.ok = (f = [st |-> "wait", behind |-> r.h])])
  /\ UNCHANGED <<row, rec, was, calm, bud>>

HandsOn(p) ==
  LET l == loc[p] IN
  /\ l.pc = "hand" /\ calm /\ Rests(p)
  /\ IF row[l.j].st \in Live /\ AsRead(l.r) /\ rec.f = l.r.f
        /\ (IF l.ok THEN Waits(l.r.f, l.j) ELSE ~Waits(l.r.f, l.j) \/ Without("follower_checked"))
     THEN IF l.ok
          THEN Writes([row EXCEPT ![l.j] = Done, ![l.r.f] = Open], Held(l.r.f))
          ELSE Writes([row EXCEPT ![l.j] = Done], Free)
     ELSE Refused
  /\ UNCHANGED bud

(* A job is canceled while it follows. *)
Leaves(j) ==
  /\ row[j].st = "wait" /\ calm /\ Spend("cancel")
  /\ Writes([row EXCEPT ![j] = Done],
            IF rec.f = j /\ ~Without("leaves") THEN [rec EXCEPT !.f = None] ELSE rec)
  /\ UNCHANGED loc

(* Done by code that doesn't know keys, or after the race for the key was lost many times. *)
EndsWithoutIt(j) ==
  /\ row[j].st \in Live /\ calm /\ Spend("left")
  /\ Writes([row EXCEPT ![j] = Done], rec) /\ UNCHANGED loc

(* The timer finds a job that waits behind an ended job. *)
TimerLooks(p) ==
  /\ loc[p] = Idle /\ calm /\ ~Without("timer")
  /\ \E j \in Jobs :
       /\ row[j].st = "wait" /\ rec.f = j /\ Ended(rec.h)
       /\ Goes(p, [Idle EXCEPT !.pc = "lift", !.j = j, !.r = rec])
  /\ UNCHANGED <<row, rec, was, calm, bud>>

Next ==
  \/ Settles
  \/ \E p \in People : \/ Asks(p) \/ ReadsRecord(p) \/ ReadsRows(p) \/ Takes(p) \/ Follows(p) \/ Lifts(p)
                       \/ LooksWhoFollows(p) \/ HandsOn(p) \/ TimerLooks(p)
  \/ \E j \in Jobs : Begins(j) \/ EndsAlone(j) \/ Leaves(j) \/ EndsWithoutIt(j)
Spec == Init /\ [][Next]_vars

----------------------------------------------------------------------------
Having  == {j \in Jobs : row[j].st \in Live}
Waiting == {j \in Jobs : row[j].st = "wait"}

(* Two jobs never have the same key, and two jobs never follow the same job. *)
OneHolder   == Cardinality(Having) <= 1
OneFollower == Cardinality(Waiting) <= 1
(* The record names the job that has the key and the job that follows.                             *)
Recorded    == /\ \A j \in Having : rec.h = j
               /\ \A j \in Waiting : rec.f = j /\ row[j].behind = rec.h
(* A key is never stuck: an ended job never has it, unless a row was ended manually. Even then the    *)
(* next job can take it, and a job that follows is admitted.                                         *)
NotLeft     == \/ bud.left < Leftovers
               \/ /\ rec.h # None => row[rec.h].st \in Live
                  /\ rec.f # None => row[rec.f].st = "wait"
NoStall     == (~ENABLED Next) => Waiting = {}
=============================================================================
