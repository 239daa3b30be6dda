------------------------------- MODULE Slots -------------------------------
(* One line (a queue and key) with slots: the rows of its jobs, its slot      *)
(* items, the entries of its waiting jobs, and a pause before it. There are   *)
(* workers that may die at any step, the timer, the failures function, and a  *)
(* person.                                                                    *)
(*                                                                            *)
(* A step is one transaction, or one consistent read on which a decision is   *)
(* based. `Lifecycle` has the life of a job. This module has only the part of *)
(* it that affects slots.                                                     *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
  Jobs,       \* 1..n, in the order in which they came
  Workers,
  MaxSlot,    \* the highest number of a slot ever
  Limit0,     \* the limit at the start
  NewLimits,  \* the limits that PUT /queues may set
  PausesQueue,\* whether a pause is one of the queue; otherwise it is one of the job type
  Kills, Zombies, Doubles, Losses, Retries, Invocations, Turns, Cancels, Requeues, Changes, Pauses, Hours, Unlimited, Hands,
  Broken

Without(safeguard) == Broken = safeguard

Slots == 1..MaxSlot
T == "timer"
F == "failures"
U == "person"
Procs == Workers \cup {T, F, U}

VARIABLES
  row,   \* job -> its row: st, the status; slot, 0 for none; adm, whether it has an admitted_at
         \* (JobRequest.is_admitted); in, its held_by: where it waits; v, its waiting_since; own, the
         \* worker whose claim it runs under; un, claimed by code without a limit
  hold,  \* slot -> the job that its item names, 0 for none
  wait,  \* entries of the line: job and version
  held,  \* entries of the pause: job and version
  now,   \* the current limit, and whether the queue or type is paused
  past,  \* the values before the last change
  fresh, \* no cache has `past` anymore
  msgs,  \* job -> the number of its messages under way
  recs,  \* jobs with a failure record under way
  loc,   \* process -> its state
  bud,   \* the faults and requests that may still happen
  only   \* a message, record or process was lost that would have looked, so only the timer will

vars == <<row, hold, wait, held, now, past, fresh, msgs, recs, loc, bud, only>>

Idle == [pc |-> "idle", j |-> 0, n |-> 0, asread |-> TRUE, st |-> "-", slot |-> 0, adm |-> FALSE,
         in |-> "-", v |-> 0, lim |-> 0]
Fresh(j) == [st |-> "queued", slot |-> 0, adm |-> FALSE, in |-> "-", v |-> 0, own |-> "-", un |-> FALSE]

Finished(j) == row[j].st \in {"done", "failed"}
Claimable   == {"queued", "retryable"}
Held(h)     == {n \in Slots : h[n] # 0}
Lowest(S)   == CHOOSE x \in S : \A y \in S : x <= y
Spend(what) == bud[what] > 0 /\ bud' = [bud EXCEPT ![what] = @ - 1]
Send(j)     == msgs' = [msgs EXCEPT ![j] = IF @ < 2 THEN @ + 1 ELSE @]
Go(p, l)    == loc' = [loc EXCEPT ![p] = l]
Rest(p)     == Go(p, Idle)
Pass(p)     == Go(p, [Idle EXCEPT !.pc = "pass"])
See(j)      == [Idle EXCEPT !.j = j, !.st = row[j].st, !.slot = row[j].slot, !.adm = row[j].adm,
                            !.in = row[j].in, !.v = row[j].v]

(* For ten seconds, a cache may have the values before a change. *)
InForce == {now} \cup (IF fresh /\ ~Without("cache_ends") THEN {} ELSE {past})
(* The highest limit that may apply now, or that a decision under way was based on. *)
Highest(S) == CHOOSE x \in S : \A y \in S : x >= y
Entitled   == Highest({c.lim : c \in IF fresh THEN {now} ELSE {now, past}} \cup {loc[p].lim : p \in Procs})

(* The lowest free slot, if the number of held slots including it stays within the limit. *)
Room(lim) ==
  LET free == {n \in Slots : hold[n] = 0}
      may  == {n \in free : /\ n <= lim
                            /\ n + Cardinality({m \in Held(hold) : m > n}) <= lim \/ Without("above_counted")}
  IN IF may # {} /\ Lowest(free) \in may THEN Lowest(free) ELSE 0

(* As read: status, token, slot and mark of a row (job_runners/store/conditional_write.py). *)
AsRead(l) == row[l.j].st = l.st /\ row[l.j].slot = l.slot /\ row[l.j].adm = l.adm

(* The slot items after job j gives back the slot in its row, if that slot is its own. *)
GivenBack(h, j) == IF row[j].slot # 0 /\ h[row[j].slot] = j THEN [h EXCEPT ![row[j].slot] = 0] ELSE h

(* A grant changes the slot's turn, so writes that were decided on the turn before are refused. *)
Moved(lc, n, p) == [q \in Procs |-> IF n # 0 /\ q # p /\ lc[q].n = n /\ ~Without("turn")
                                    THEN [lc[q] EXCEPT !.asread = FALSE] ELSE lc[q]]

(* A new waiting_since, which differs from all that are in use. *)
NewV(j) == Lowest((1..9) \ ({row[j].v} \cup {e.v : e \in {x \in wait \cup held : x.j = j}}
                            \cup {loc[p].v : p \in {q \in Procs : loc[q].j = j}}))
Entry(j, v) == [j |-> j, v |-> v]
First       == LET js == {e.j : e \in wait} IN CHOOSE e \in wait : e.j = Lowest(js)

Init ==
  /\ row = [j \in Jobs |-> Fresh(j)] /\ msgs = [j \in Jobs |-> 1]
  /\ hold = [n \in Slots |-> 0] /\ wait = {} /\ held = {}
  /\ now = [lim |-> Limit0, paused |-> FALSE] /\ past = now /\ fresh = TRUE
  /\ recs = {} /\ loc = [p \in Procs |-> Idle] /\ only = FALSE
  /\ bud = [kill |-> Kills, zombie |-> Zombies, double |-> Doubles, loss |-> Losses, retry |-> Retries,
            invocation |-> Invocations, turn |-> Turns, cancel |-> Cancels, requeue |-> Requeues, change |-> Changes, pause |-> Pauses, hour |-> Hours,
            unlimited |-> Unlimited, hand |-> Hands]

limits == <<now, past, fresh>>

----------------------------------------------------------------------------
(* The worker *)

(* A row that names a slot and was admitted needs no other slot. A mark without a slot comes from a *)
(* rate, which `Rate` covers, or from an invocation that began before any code knew a limit.                *)
Admitted(r) == r.adm /\ (r.slot # 0 \/ Without("mark_is_no_slot"))
(* A message arrives, and the worker reads its row. It checks the cached pauses first. *)
Receives(w) ==
  /\ loc[w] = Idle
  /\ \E j \in Jobs, c \in InForce :
       /\ msgs[j] > 0 /\ msgs' = [msgs EXCEPT ![j] = @ - 1]
       /\ Go(w, IF row[j].st \notin Claimable THEN Idle
                ELSE [See(j) EXCEPT !.pc = IF c.paused THEN "hold" ELSE IF Admitted(row[j]) THEN "claim" ELSE "look"])
  /\ UNCHANGED <<row, hold, wait, held, limits, recs, bud, only>>

(* The worker decides after one query of the line. *)
Looks(w) ==
  LET l == loc[w] IN
  /\ l.pc = "look"
  /\ \E c \in InForce :
       LET n == Room(c.lim) IN
       IF n # 0 /\ (wait = {} \/ Without("newcomer_waits"))
       THEN Go(w, [l EXCEPT !.pc = "claim", !.n = n, !.lim = Entitled])
       ELSE Go(w, [l EXCEPT !.pc = "hold_in_line"])
  /\ UNCHANGED <<row, hold, wait, held, limits, msgs, recs, bud, only>>

(* The worker claims the job with a slot's item as read, or under the mark of an admitted row. *)
Claims(w) ==
  LET l    == loc[w]
      mine == IF Without("claim_as_read") THEN row[l.j].st \in Claimable ELSE AsRead(l)
      free == l.n = 0 \/ (hold[l.n] = 0 /\ l.asread)
  IN
  /\ l.pc = "claim"
  /\ IF mine /\ free
     THEN /\ row' = [row EXCEPT ![l.j].st = "running", ![l.j].own = w, ![l.j].adm = FALSE,
                                ![l.j].slot = IF l.n = 0 THEN @ ELSE l.n]
          /\ hold' = IF l.n = 0 THEN hold ELSE [hold EXCEPT ![l.n] = l.j]
          /\ loc' = Moved([loc EXCEPT ![w] = [Idle EXCEPT !.pc = "run", !.j = l.j]], l.n, w)
     ELSE /\ Go(w, IF mine THEN [l EXCEPT !.pc = "look", !.n = 0, !.asread = TRUE, !.lim = 0] ELSE Idle)
          /\ UNCHANGED <<row, hold>>
  /\ UNCHANGED <<wait, held, limits, msgs, recs, bud, only>>

(* Code without a limit claims without a look at the line: before a deploy that declares a limit, *)
(* or after one that removes it.                                                                  *)
ClaimsUnlimited(w) ==
  /\ loc[w] = Idle
  /\ \E j \in Jobs :
       /\ msgs[j] > 0 /\ msgs' = [msgs EXCEPT ![j] = @ - 1] /\ row[j].st \in Claimable
       /\ Spend("unlimited")
       /\ row' = [row EXCEPT ![j].st = "running", ![j].own = w, ![j].un = row[j].slot = 0,
                             ![j].adm = @ /\ Without("claim_removes_mark")]
       /\ Go(w, [Idle EXCEPT !.pc = "run", !.j = j])
  /\ UNCHANGED <<hold, wait, held, limits, recs, only>>

(* Holds a job in the line or under the pause, with row, slot and entry in one transaction. *)
Waits(j, in, v) == [row EXCEPT ![j] = [@ EXCEPT !.st = "waiting", !.in = in, !.v = v, !.slot = 0,
                                               !.adm = FALSE, !.own = "-", !.un = FALSE]]
Holds(p) ==
  LET l == loc[p]
      mine == IF Without("hold_as_read") THEN row[l.j].st \in Claimable ELSE AsRead(l)
      v == NewV(l.j)
  IN
  /\ l.pc \in {"hold_in_line", "hold"}
  /\ IF mine
     THEN /\ row' = Waits(l.j, IF l.pc = "hold_in_line" THEN "line" ELSE "pause", v)
          /\ hold' = (IF l.slot # 0 /\ hold[l.slot] = l.j THEN [hold EXCEPT ![l.slot] = 0] ELSE hold)
          /\ IF Without("hold_in_one")
             THEN Go(p, [l EXCEPT !.pc = IF @ = "hold_in_line" THEN "entry" ELSE "held", !.v = v]) /\ UNCHANGED <<wait, held>>
             ELSE /\ IF l.pc = "hold_in_line" THEN wait' = wait \cup {Entry(l.j, v)} /\ UNCHANGED held
                                      ELSE held' = held \cup {Entry(l.j, v)} /\ UNCHANGED wait
                  /\ IF Without("looks_once_more") THEN Rest(p) ELSE Pass(p)
     ELSE Rest(p) /\ UNCHANGED <<row, hold, wait, held>>
  /\ UNCHANGED <<limits, msgs, recs, bud, only>>
EntryLater(p) ==   \* only in a twin
  /\ loc[p].pc \in {"entry", "held"} /\ Pass(p)
  /\ IF loc[p].pc = "entry" THEN wait' = wait \cup {Entry(loc[p].j, loc[p].v)} /\ UNCHANGED held
                            ELSE held' = held \cup {Entry(loc[p].j, loc[p].v)} /\ UNCHANGED wait
  /\ UNCHANGED <<row, hold, limits, msgs, recs, bud, only>>

Owns(w) == row[loc[w].j].st = "running" /\ row[loc[w].j].own = w
(* A job's end frees its slot in the same transaction. *)
Ended(j, st, keeps) ==
  [row EXCEPT ![j] = [@ EXCEPT !.st = st, !.own = "-", !.un = FALSE, !.in = "-", !.v = 0, !.slot = IF keeps THEN @ ELSE 0,
                               !.adm = @ /\ (keeps \/ Without("claim_removes_mark"))]]
Succeeds(w) ==
  LET l == loc[w] IN
  /\ l.pc = "run" /\ Owns(w)
  /\ row' = Ended(l.j, "done", FALSE)
  /\ IF Without("freed_in_one") THEN Go(w, [Idle EXCEPT !.pc = "free", !.n = row[l.j].slot, !.j = l.j]) /\ UNCHANGED hold
     ELSE /\ hold' = GivenBack(hold, l.j)
          /\ IF Without("ender_admits") THEN Rest(w) ELSE Pass(w)
  /\ UNCHANGED <<wait, held, limits, msgs, recs, bud, only>>
FreesLater(w) ==   \* only in a twin
  /\ loc[w].pc = "free" /\ Pass(w)
  /\ hold' = IF loc[w].n = 0 THEN hold ELSE [hold EXCEPT ![loc[w].n] = 0]
  /\ UNCHANGED <<row, wait, held, limits, msgs, recs, bud, only>>
FailsAttempt(w) ==
  LET l == loc[w] IN
  /\ l.pc = "run" /\ Owns(w) /\ Spend("retry")
  /\ row' = Ended(l.j, "retryable", Without("retry_frees")) /\ Send(l.j)
  /\ hold' = IF Without("retry_frees") THEN hold ELSE GivenBack(hold, l.j)
  /\ Pass(w) /\ UNCHANGED <<wait, held, limits, recs, only>>
(* A job keeps its slot between invocations, and its row shows that it was admitted. *)
EndsInvocation(w) ==
  LET l == loc[w] IN
  /\ l.pc = "run" /\ Owns(w) /\ Spend("invocation") /\ Send(l.j) /\ Rest(w)
  /\ row' = [row EXCEPT ![l.j].st = "queued", ![l.j].own = "-", ![l.j].un = FALSE,
                        ![l.j].adm = TRUE]
  /\ hold' = IF Without("invocation_keeps") THEN GivenBack(hold, l.j) ELSE hold
  /\ UNCHANGED <<wait, held, limits, recs, only>>
(* At a checkpoint, a job finds a pause and is held under it. *)
HoldsAtCheckpoint(w) ==
  LET l == loc[w]
      v == NewV(l.j)
  IN
  /\ l.pc = "run" /\ Owns(w) /\ (\E c \in InForce : c.paused)
  /\ row' = Waits(l.j, "pause", v) /\ hold' = GivenBack(hold, l.j)
  /\ held' = held \cup {Entry(l.j, v)} /\ Pass(w)
  /\ UNCHANGED <<wait, limits, msgs, recs, bud, only>>
(* A job yields: its slot goes to the next job, and it goes to the end of the line. *)
EndsTurn(w) ==
  LET l == loc[w]
      v == NewV(l.j)
  IN
  /\ l.pc = "run" /\ Owns(w) /\ Spend("turn")
  /\ row' = Waits(l.j, "line", v) /\ hold' = (IF Without("turn_frees") THEN hold ELSE GivenBack(hold, l.j))
  /\ wait' = wait \cup {Entry(l.j, v)} /\ Pass(w)
  /\ UNCHANGED <<held, limits, msgs, recs, only>>
LosesClaim(w) == /\ loc[w].pc = "run" /\ ~Owns(w) /\ Rest(w)
                 /\ UNCHANGED <<row, hold, wait, held, limits, msgs, recs, bud, only>>

----------------------------------------------------------------------------
(* The admission pass of the process that freed a slot or held a job, and of the timer. It           *)
(* continues until no slot is free or no job waits.                                                *)

Shut(c) == PausesQueue /\ c.paused   \* a paused queue admits no jobs
(* If a slot's holder has ended or names another slot, a write manually has left this slot behind.  *)
HasIt(j, n) == row[j].slot = n /\ ~Finished(j)
Strays      == IF Without("pass_frees") THEN {} ELSE {n \in Slots : hold[n] # 0 /\ ~HasIt(hold[n], n)}
PassLooks(p) ==
  /\ loc[p].pc = "pass"
  /\ \E c \in IF p = U THEN {now} ELSE InForce :
       LET n == Room(c.lim) IN
       /\ only' = (only \/ c # now)   \* with an old cache, it may miss the change
       /\ Go(p, IF wait = {} \/ Shut(c) THEN Idle
                ELSE IF n = 0
                THEN IF Strays = {} THEN Idle
                     ELSE [Idle EXCEPT !.pc = "stray", !.n = Lowest(Strays), !.j = hold[Lowest(Strays)]]
                ELSE IF row[First.j].st = "waiting" /\ row[First.j].in = "line" /\ row[First.j].v = First.v
                THEN [See(First.j) EXCEPT !.pc = "admit", !.n = n, !.lim = Entitled]
                ELSE [Idle EXCEPT !.pc = "drop", !.j = First.j, !.v = First.v])
  /\ UNCHANGED <<row, hold, wait, held, limits, msgs, recs, bud>>
FreesStray(p) ==
  LET l == loc[p] IN
  /\ l.pc = "stray" /\ Pass(p)
  /\ hold' = IF hold[l.n] = l.j /\ l.asread THEN [hold EXCEPT ![l.n] = 0] ELSE hold
  /\ UNCHANGED <<row, wait, held, limits, msgs, recs, bud, only>>

(* Changes row, slot and entry in one transaction, and then sends the job. *)
Admits(p) ==
  LET l == loc[p]
      r == row[l.j]
      mine == (r.st = "waiting" /\ r.in = "line" /\ r.v = l.v /\ AsRead(l)) \/ Without("admit_asks_row")
      free == (hold[l.n] = 0 /\ l.asread) \/ Without("admit_asks_slot")
      next == IF Without("pass_goes_on") THEN Idle ELSE [Idle EXCEPT !.pc = "pass"]
  IN
  /\ l.pc = "admit"
  /\ IF mine /\ free
     THEN /\ row' = [row EXCEPT ![l.j] = [@ EXCEPT !.st = "queued", !.in = "-", !.v = 0, !.adm = TRUE,
                                                  !.slot = l.n]]
          /\ hold' = [hold EXCEPT ![l.n] = l.j]
          /\ wait' = wait \ {Entry(l.j, l.v)} /\ Send(l.j)
          /\ loc' = Moved([loc EXCEPT ![p] = next], l.n, p)
     ELSE Go(p, next) /\ UNCHANGED <<row, hold, wait, msgs>>
  /\ UNCHANGED <<held, limits, recs, bud, only>>

(* Drops an entry whose row, as read, doesn't wait under it: exactly that entry, not the job's next. *)
Drops(p) ==
  /\ loc[p].pc = "drop" /\ Pass(p)
  /\ wait' = IF Without("drop_asks_version") THEN {e \in wait : e.j # loc[p].j}
             ELSE wait \ {Entry(loc[p].j, loc[p].v)}
  /\ UNCHANGED <<row, hold, held, limits, msgs, recs, bud, only>>

CanAdmit == wait # {} /\ Room(now.lim) # 0 /\ ~Shut(now)

----------------------------------------------------------------------------
(* The timer. Each job that hasn't ended becomes due at some time. *)

Resends(j) ==
  /\ row[j].st \in Claimable /\ msgs[j] = 0 /\ Send(j)
  /\ UNCHANGED <<row, hold, wait, held, limits, recs, loc, bud, only>>
(* When the timer finds a due row that waits, it makes a pass over its line. *)
TimerAdmits ==
  /\ loc[T] = Idle /\ (CanAdmit \/ (Strays # {} /\ ~Shut(now))) /\ ~Without("timer_admits") /\ Pass(T)
  /\ \E j \in Jobs : row[j].st = "waiting" /\ row[j].in = "line"
  /\ UNCHANGED <<row, hold, wait, held, limits, msgs, recs, bud, only>>
(* After a pause, its jobs are queued again, and then have to pass the line. *)
EndsPause ==
  /\ ~now.paused /\ loc[T] = Idle
  /\ \E e \in held :
       /\ held' = held \ {e}
       /\ IF row[e.j].st = "waiting" /\ row[e.j].in = "pause" /\ row[e.j].v = e.v
          THEN row' = [row EXCEPT ![e.j].st = "queued", ![e.j].in = "-", ![e.j].v = 0, ![e.j].adm = FALSE] /\ Send(e.j)
          ELSE UNCHANGED <<row, msgs>>
  /\ UNCHANGED <<hold, wait, limits, recs, loc, bud, only>>
(* A job that was admitted, or is between invocations, and stays unclaimed for an hour goes to the end of   *)
(* the line. Its slot goes to the next job.                                                          *)
SetsBack(j) ==
  /\ loc[T] = Idle /\ row[j].st = "queued" /\ row[j].adm /\ Spend("hour")
  /\ Go(T, [See(j) EXCEPT !.pc = "hold_in_line"])
  /\ UNCHANGED <<row, hold, wait, held, limits, msgs, recs, only>>
Alive(j) == \E w \in Workers : loc[w].pc = "run" /\ loc[w].j = j /\ row[j].own = w
Gone(j)  == IF Alive(j) THEN Spend("zombie") ELSE UNCHANGED bud
(* A running job is rescued by the timer, or settled by a failure record. *)
Rescues(p, j) ==
  /\ loc[p] = Idle /\ row[j].st = "running" /\ Pass(p)
  /\ \/ row' = Ended(j, "failed", Without("rescue_frees")) /\ Gone(j) /\ UNCHANGED msgs
     \/ row' = Ended(j, "retryable", Without("rescue_frees")) /\ Send(j)
        /\ IF Alive(j) THEN Spend("zombie") ELSE Spend("retry")
  /\ hold' = IF Without("rescue_frees") THEN hold ELSE GivenBack(hold, j)
  /\ UNCHANGED <<wait, held, limits, recs, only>>
RescuesGone(j)   == ~Alive(j) /\ Rescues(T, j)
RescuesZombie(j) == Alive(j) /\ Rescues(T, j)
(* A failure record of a job that no longer runs has its line checked, in place of the dead worker. *)
Settles(j) ==
  /\ j \in recs /\ loc[F] = Idle
  /\ IF row[j].st = "running" /\ ~Alive(j)
     THEN Rescues(F, j)
     ELSE /\ recs' = recs \ {j}
          /\ IF Without("record_admits") THEN UNCHANGED loc ELSE Pass(F)
          /\ UNCHANGED <<row, hold, wait, held, limits, msgs, bud, only>>

----------------------------------------------------------------------------
(* People *)

AsksCancel(j) ==
  /\ loc[U] = Idle /\ row[j].st \in Claimable \cup {"waiting"} /\ Spend("cancel")
  /\ Go(U, [See(j) EXCEPT !.pc = "cancel"])
  /\ UNCHANGED <<row, hold, wait, held, limits, msgs, recs, only>>
WritesCancel ==
  LET l == loc[U]
      mine == IF Without("cancel_as_read") THEN row[l.j].st \in Claimable \cup {"waiting"} ELSE AsRead(l)
  IN
  /\ l.pc = "cancel"
  /\ IF mine
     THEN /\ row' = Ended(l.j, "failed", FALSE)
          /\ hold' = IF l.slot # 0 /\ hold[l.slot] = l.j THEN [hold EXCEPT ![l.slot] = 0] ELSE hold
          /\ wait' = IF l.in = "line" THEN wait \ {Entry(l.j, l.v)} ELSE wait
          /\ held' = IF l.in = "pause" THEN held \ {Entry(l.j, l.v)} ELSE held
          /\ Pass(U)
     ELSE Go(U, IF row[l.j].st \in Claimable \cup {"waiting"} THEN [See(l.j) EXCEPT !.pc = "cancel"] ELSE Idle)
          /\ UNCHANGED <<row, hold, wait, held>>
  /\ UNCHANGED <<limits, msgs, recs, bud, only>>

(* A retried job goes to the end of the line, and keeps nothing of its former run. *)
Requeue(j) ==
  /\ row[j].st = "failed" /\ Spend("requeue") /\ Send(j)
  /\ row' = [row EXCEPT ![j] = Fresh(j)]
  /\ UNCHANGED <<hold, wait, held, limits, recs, loc, only>>

(* A change applies at once for its caller, and within ten seconds for processes with a cache. *)
SetsLimit ==
  /\ loc[U] = Idle /\ fresh
  /\ \/ /\ Spend("change") /\ \E lim \in NewLimits : lim # now.lim /\ now' = [now EXCEPT !.lim = lim]
     \/ /\ ~now.paused /\ Spend("pause") /\ now' = [now EXCEPT !.paused = TRUE]
  /\ past' = now /\ fresh' = FALSE /\ Pass(U)
  /\ UNCHANGED <<row, hold, wait, held, msgs, recs, only>>
Resumes ==
  /\ loc[U] = Idle /\ fresh /\ now.paused /\ now' = [now EXCEPT !.paused = FALSE]
  /\ past' = now /\ fresh' = FALSE /\ Pass(U)
  /\ UNCHANGED <<row, hold, wait, held, msgs, recs, bud, only>>
CachesEnd ==
  /\ ~fresh /\ fresh' = TRUE
  /\ UNCHANGED <<row, hold, wait, held, now, past, msgs, recs, loc, bud, only>>

----------------------------------------------------------------------------
(* Faults *)

Kill(p) ==
  /\ loc[p] # Idle /\ Spend("kill") /\ Rest(p)
  /\ \/ p \in Workers /\ loc[p].j # 0 /\ recs' = recs \cup {loc[p].j} /\ UNCHANGED only
     \/ UNCHANGED recs /\ only' = TRUE
  /\ UNCHANGED <<row, hold, wait, held, limits, msgs>>
(* A worker is killed during its pass. The failure record is that of the job that it ran. *)
KillInPass(w) ==
  /\ loc[w].pc \in {"pass", "admit", "drop"} /\ Spend("kill") /\ Rest(w)
  /\ \E j \in Jobs : recs' = recs \cup {j}
  /\ UNCHANGED <<row, hold, wait, held, limits, msgs, only>>
Lose(j)   == /\ msgs[j] > 0 /\ Spend("loss") /\ msgs' = [msgs EXCEPT ![j] = @ - 1]
             /\ UNCHANGED <<row, hold, wait, held, limits, recs, loc, only>>
Double(j) == /\ msgs[j] = 1 /\ Spend("double") /\ msgs' = [msgs EXCEPT ![j] = 2]
             /\ UNCHANGED <<row, hold, wait, held, limits, recs, loc, only>>
(* A row is ended manually, or a table is restored. The slot and the entry stay.                    *)
EndsManually(j) ==
  /\ Spend("hand") /\ only' = TRUE
  /\ row[j].st \in Claimable \cup {"waiting"} /\ row' = Ended(j, "failed", FALSE)
  /\ UNCHANGED <<hold, wait, held, limits, msgs, recs, loc>>

----------------------------------------------------------------------------
(* The steps that each process takes unless a fault stops it *)
WorkerGoesOn(w) == \/ Receives(w) \/ Looks(w) \/ Claims(w) \/ Holds(w) \/ EntryLater(w) \/ Succeeds(w)
                   \/ FreesLater(w) \/ LosesClaim(w) \/ PassLooks(w) \/ Admits(w) \/ Drops(w) \/ FreesStray(w)
TimerGoesOn     == \/ TimerAdmits \/ EndsPause \/ FreesStray(T) \/ Holds(T) \/ EntryLater(T)
                   \/ PassLooks(T) \/ Admits(T) \/ Drops(T)
                   \/ \E j \in Jobs : Resends(j) \/ RescuesGone(j)
FailuresGoesOn  == (\E j \in Jobs : Settles(j)) \/ PassLooks(F) \/ Admits(F) \/ Drops(F) \/ FreesStray(F)
PersonGoesOn    == WritesCancel \/ Resumes \/ PassLooks(U) \/ Admits(U) \/ Drops(U) \/ FreesStray(U)
GoesOn          == \/ (\E w \in Workers : WorkerGoesOn(w))
                   \/ TimerGoesOn \/ FailuresGoesOn \/ PersonGoesOn \/ CachesEnd

Next ==
  \/ GoesOn \/ SetsLimit
  \/ \E w \in Workers : ClaimsUnlimited(w) \/ FailsAttempt(w) \/ EndsInvocation(w) \/ EndsTurn(w)
                       \/ HoldsAtCheckpoint(w) \/ KillInPass(w)
  \/ \E p \in Procs : Kill(p)
  \/ \E j \in Jobs : RescuesZombie(j) \/ SetsBack(j) \/ AsksCancel(j) \/ Requeue(j) \/ Lose(j) \/ Double(j)
                   \/ EndsManually(j)

Spec == Init /\ [][Next]_vars
Live == Spec /\ (\A w \in Workers : WF_vars(WorkerGoesOn(w))) /\ WF_vars(TimerGoesOn)
             /\ WF_vars(FailuresGoesOn) /\ WF_vars(PersonGoesOn) /\ WF_vars(CachesEnd)
Symmetric == Permutations(Workers)

----------------------------------------------------------------------------
(* The promises *)

TypeOK ==
  /\ \A j \in Jobs : /\ row[j].st \in {"queued", "retryable", "waiting", "running", "done", "failed"}
                     /\ row[j].slot \in 0..MaxSlot /\ msgs[j] \in 0..2
  /\ \A n \in Slots : hold[n] \in Jobs \cup {0}

MayBeLeft == bud["hand"] < Hands   \* a write manually may have left a slot; a pass that needs it frees it

(* The holder of each slot is an unfinished row that names it. *)
Names(j, n) == row[j].slot = n /\ row[j].st \in {"queued", "running"}
HolderNamesIt == MayBeLeft \/ \A n \in Slots : hold[n] # 0 => Names(hold[n], n)
(* A row that names a slot has it. A row that has ended, waits or backs off has no slot. *)
RowHasItem == \A j \in Jobs : row[j].slot # 0 => hold[row[j].slot] = j /\ Names(j, row[j].slot)
(* A running job has a slot, unless code without a limit claimed it. *)
RunsWithSlot == \A j \in Jobs : row[j].st = "running" => row[j].slot # 0 \/ row[j].un
(* That slot is its own, even after a write manually. *)
RunsOnItsOwn == \A j \in Jobs : row[j].st = "running" /\ row[j].slot # 0 => hold[row[j].slot] = j
(* Only queued rows have the mark, because a claim or a hold removes it. *)
MarkedOnlyQueued == \A j \in Jobs : row[j].adm => row[j].st = "queued"
(* A waiting job has its entry. A pass drops an entry under which no job waits. *)
Listed == \A j \in Jobs : row[j].st = "waiting" =>
             IF row[j].in = "line" THEN Entry(j, row[j].v) \in wait ELSE Entry(j, row[j].v) \in held

(* No grant exceeds the highest limit that its decision may have been based on. *)
GrantWithin ==
  [][\A p \in Procs : loc[p].pc \in {"claim", "admit"} /\ loc[p].n # 0 /\ loc'[p] # loc[p] /\ hold'[loc[p].n] # hold[loc[p].n]
       => Cardinality(Held(hold')) <= loc[p].lim]_vars
(* A worker that looks after a job was held doesn't start another job before it. *)
NobodyOvertakes ==
  [][\A w \in Workers : loc[w].pc = "look" /\ loc'[w].pc = "claim" => wait = {}]_vars
(* The writer of an end has the claim, or takes it from a claimer that is gone. *)
OwnerEnds == [][\A w \in Workers : loc[w].pc = "run" /\ loc'[w] # loc[w] /\ row'[loc[w].j] # row[loc[w].j]
                  => row[loc[w].j].own = w]_vars
OutcomeStays == [][\A j \in Jobs : Finished(j) => row'[j] = row[j] \/ bud'["requeue"] < bud["requeue"]]_vars
(* No job waits while a slot is free, unless a process is about to look. Only after a loss do jobs  *)
(* wait for the timer, which runs once a minute.                                                    *)
AboutToLook == \/ \E p \in Procs : loc[p].pc \in {"look", "claim", "hold_in_line", "hold", "pass", "admit", "drop", "stray", "free", "entry"}
               \/ recs # {}
Awake == CanAdmit => AboutToLook \/ only

(* When no process has anything left to do, all jobs have ended and no slot is held. *)
Settled == (\A j \in Jobs : Finished(j)) /\ (\A n \in Slots : hold[n] = 0 \/ MayBeLeft)
NoStall == ENABLED GoesOn \/ Settled
AllEnds == <>[]Settled
=============================================================================
