-------------------------------- MODULE Rate --------------------------------
(* One line with a rate and no slots (GCRA with a burst, seen as buckets of   *)
(* tokens that fill as time passes). A waiting job is admitted by one bucket. *)
(* Its claim counts a start in a second one, because the job's message may    *)
(* take any time. A job that finds no token waits in the line. A delayed      *)
(* message, the wake-up, starts an admission pass when there is a token again.*)
(*                                                                            *)
(* As in `Slots`, a step is one transaction or one consistent read. Pauses,   *)
(* caches and rows ended manually are modeled there, and left out here. *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
  Jobs, Workers,
  Burst,     \* size of both buckets
  Kills, Doubles, Losses, Retries, Invocations, Hours, Cancels, Lates,
  Broken

Without(safeguard) == Broken = safeguard

T == "timer"
F == "failures"
U == "person"
Procs == Workers \cup {T, F, U}

VARIABLES
  row,    \* job -> its row: st, adm (admitted_at), own (whose claim it runs under)
  wait,   \* jobs that have an entry
  tokens, \* jobs that the rate lets start or be admitted now
  allow,  \* starts that the rate allows now, whenever their jobs were admitted
  unst,   \* jobs whose next claim, or the one that they run under, counts as a start
  asked,  \* the rate item says that a wake-up is under way
  wakes,  \* wake-ups under way
  soon,   \* jobs that become due for the timer soon after the expected wake-up
  msgs, recs, loc, bud, only,   \* as in Slots
  paid,   \* jobs whose admission is paid for, until their run ends
  starts  \* number of grants

vars == <<row, wait, tokens, allow, unst, asked, wakes, soon, msgs, recs, loc, bud, only, paid, starts>>

Idle == [pc |-> "idle", j |-> 0, adm |-> FALSE, st |-> "-", asread |-> TRUE]
Claimable == {"queued", "retryable"}
Lowest(S) == CHOOSE x \in S : \A y \in S : x <= y
Spend(what) == bud[what] > 0 /\ bud' = [bud EXCEPT ![what] = @ - 1]
Send(j)   == msgs' = [msgs EXCEPT ![j] = IF @ < 2 THEN @ + 1 ELSE @]
Go(p, l)  == loc' = [loc EXCEPT ![p] = l]
Rest(p)   == Go(p, Idle)
Pass(p)   == Go(p, [Idle EXCEPT !.pc = "pass"])
See(j)    == [Idle EXCEPT !.j = j, !.st = row[j].st, !.adm = row[j].adm]
AsRead(l) == row[l.j].st = l.st /\ row[l.j].adm = l.adm
(* A grant changes the rate item's turn, so decisions that were based on the old item are refused. *)
Moved(lc, p) == [q \in Procs |-> IF q # p /\ lc[q].pc \in {"claim", "admit", "mark"} /\ ~Without("turn")
                                 THEN [lc[q] EXCEPT !.asread = FALSE] ELSE lc[q]]

Init ==
  /\ row = [j \in Jobs |-> [st |-> "queued", adm |-> FALSE, own |-> "-"]]
  /\ wait = {} /\ tokens = Burst /\ allow = Burst /\ unst = {} /\ asked = FALSE /\ wakes = 0 /\ soon = {}
  /\ msgs = [j \in Jobs |-> 1] /\ recs = {} /\ loc = [p \in Procs |-> Idle] /\ only = FALSE /\ paid = {} /\ starts = 0
  /\ bud = [kill |-> Kills, double |-> Doubles, loss |-> Losses, retry |-> Retries, invocation |-> Invocations, hour |-> Hours,
            cancel |-> Cancels, late |-> Lates]

----------------------------------------------------------------------------
(* The worker *)

(* A message comes, and its row is read. An admitted job has paid. *)
Receives(w) ==
  /\ loc[w] = Idle
  /\ \E j \in Jobs :
       /\ msgs[j] > 0 /\ msgs' = [msgs EXCEPT ![j] = @ - 1]
       /\ Go(w, IF row[j].st \notin Claimable THEN Idle
                ELSE [See(j) EXCEPT !.pc = IF row[j].adm THEN "enter" ELSE "look"])
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, recs, bud, only, paid, soon>>
Looks(w) ==
  /\ loc[w].pc = "look"
  /\ Go(w, [loc[w] EXCEPT !.pc = IF tokens > 0 /\ allow > 0 /\ wait = {} THEN "claim" ELSE "hold_in_line"])
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, msgs, recs, bud, only, paid, soon>>
(* If no start is allowed now, the claim of an admitted job waits a moment, or the job waits in line again. *)
ComesLate(w) ==
  LET l == loc[w] IN
  /\ l.pc = "enter" /\ l.j \in unst /\ allow = 0 /\ ~Without("counts_start") /\ Spend("late")
  /\ Go(w, [l EXCEPT !.pc = "hold_in_line"])
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, msgs, recs, only, paid, soon>>
(* pc "claim" takes a grant, as read. pc "enter" is an admitted job: its claim only counts the start. *)
Claims(w) ==
  LET l == loc[w]
      pays == l.pc = "claim"
      counts == pays \/ (l.pc = "enter" /\ l.j \in unst /\ ~Without("counts_start"))
      left == IF counts /\ allow > 0 THEN allow - 1 ELSE allow
  IN
  /\ l.pc \in {"claim", "enter"} /\ (l.pc = "enter" /\ counts => allow > 0)
  /\ IF AsRead(l) /\ (pays => l.asread)
     THEN /\ row' = [row EXCEPT ![l.j] = [st |-> "running", adm |-> FALSE, own |-> w]]
          /\ tokens' = IF pays /\ tokens > 0 THEN tokens - 1 ELSE tokens
          /\ allow' = left
          /\ unst' = IF pays THEN unst \cup {l.j} ELSE unst
          /\ asked' = (asked /\ ~pays) /\ starts' = starts + (IF pays THEN 1 ELSE 0)
          /\ paid' = IF pays THEN paid \cup {l.j} ELSE paid
          /\ LET lc == [loc EXCEPT ![w] = [Idle EXCEPT !.pc = "run", !.j = l.j]]
             IN loc' = IF pays THEN Moved(lc, w)
                       ELSE IF counts THEN [q \in Procs |-> IF lc[q].pc = "claim" THEN [lc[q] EXCEPT !.asread = FALSE]
                                                             ELSE lc[q]]
                       ELSE lc
     ELSE /\ Go(w, IF AsRead(l) THEN [l EXCEPT !.pc = "look", !.asread = TRUE] ELSE Idle)
          /\ UNCHANGED <<allow, unst, starts, row, tokens, asked, paid, soon>>
  /\ UNCHANGED <<wait, wakes, msgs, recs, bud, only, soon>>
Holds(p) ==
  LET l == loc[p] IN
  /\ l.pc = "hold_in_line"
  /\ IF AsRead(l)
     THEN /\ row' = [row EXCEPT ![l.j] = [st |-> "waiting", adm |-> FALSE, own |-> "-"]]
          /\ wait' = wait \cup {l.j} /\ paid' = paid \ {l.j} /\ unst' = unst \ {l.j} /\ Pass(p)
     ELSE Rest(p) /\ UNCHANGED <<unst, row, wait, paid>>
  /\ UNCHANGED <<allow, starts, tokens, asked, wakes, msgs, recs, bud, only, soon>>

Owns(w) == row[loc[w].j].st = "running" /\ row[loc[w].j].own = w
Succeeds(w) ==   \* it frees nothing, so no admission pass follows
  /\ loc[w].pc = "run" /\ Owns(w) /\ Rest(w)
  /\ row' = [row EXCEPT ![loc[w].j] = [st |-> "done", adm |-> FALSE, own |-> "-"]] /\ paid' = paid \ {loc[w].j} /\ unst' = unst \ {loc[w].j}
  /\ UNCHANGED <<allow, starts, wait, tokens, asked, wakes, msgs, recs, bud, only, soon>>
FailsAttempt(w) ==
  LET j == loc[w].j IN
  /\ loc[w].pc = "run" /\ Owns(w) /\ Spend("retry") /\ Send(j) /\ Rest(w)
  /\ row' = [row EXCEPT ![j] = [st |-> "retryable", adm |-> Without("retry_unmarks"), own |-> "-"]]
  /\ paid' = paid \ {j} /\ unst' = unst \ {j}
  /\ UNCHANGED <<allow, starts, wait, tokens, asked, wakes, recs, only, soon>>
EndsInvocation(w) ==    \* the next invocation is no start
  LET j == loc[w].j IN
  /\ loc[w].pc = "run" /\ Owns(w) /\ Spend("invocation") /\ Send(j) /\ Rest(w)
  /\ row' = [row EXCEPT ![j] = [st |-> "queued", adm |-> ~Without("invocation_marks"), own |-> "-"]]
  /\ unst' = unst \ {j}
  /\ UNCHANGED <<allow, starts, wait, tokens, asked, wakes, recs, only, paid, soon>>
LosesClaim(w) == /\ loc[w].pc = "run" /\ ~Owns(w) /\ Rest(w)
                 /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, msgs, recs, bud, only, paid, soon>>

----------------------------------------------------------------------------
(* The admission pass *)

PassLooks(p) ==
  /\ loc[p].pc = "pass"
  /\ LET first == See(Lowest(wait)) IN
     Go(p, IF wait = {}
           THEN Idle
           ELSE IF tokens > 0 THEN [first EXCEPT !.pc = "admit"]
           ELSE IF asked /\ ~Without("wake_up_marked")
                THEN IF Without("next_is_due") THEN Idle ELSE [first EXCEPT !.pc = "relies"]
           ELSE IF Without("wakes_up") THEN Idle ELSE [first EXCEPT !.pc = "due"])
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, msgs, recs, bud, only, paid, soon>>
Admits(p) ==
  LET l == loc[p] IN
  /\ l.pc = "admit"
  /\ IF row[l.j].st = "waiting" /\ l.asread
     THEN /\ row' = [row EXCEPT ![l.j] = [st |-> "queued", adm |-> ~Without("admit_marks"), own |-> "-"]]
          /\ wait' = wait \ {l.j} /\ tokens' = (IF tokens > 0 THEN tokens - 1 ELSE 0) /\ asked' = FALSE
          /\ paid' = paid \cup {l.j} /\ starts' = starts + 1 /\ Send(l.j)
          /\ loc' = Moved([loc EXCEPT ![p] = [Idle EXCEPT !.pc = "pass"]], p)
          /\ soon' = soon \ {l.j} /\ unst' = unst \cup {l.j}
     ELSE Pass(p) /\ UNCHANGED <<unst, starts, row, wait, tokens, asked, msgs, paid, soon>>
  /\ UNCHANGED <<allow, wakes, recs, bud, only>>
(* The first waiting job becomes due for the timer soon after the expected wake-up. This is written *)
(* before a wake-up is requested, and also if one is under way, because another job may be first.   *)
HasDue(p) ==
  LET l == loc[p] IN
  /\ l.pc \in {"due", "relies"}
  /\ IF row[l.j].st = "waiting"
     THEN /\ soon' = IF Without("first_is_due") THEN soon ELSE soon \cup {l.j}
          /\ IF l.pc = "due" THEN Go(p, [l EXCEPT !.pc = "mark"]) ELSE Rest(p)
     ELSE Pass(p) /\ UNCHANGED soon
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, msgs, recs, bud, only, paid>>
(* The rate item records the coming wake-up, if it is as read. Then the wake-up is sent. *)
Marks(p) ==
  LET l == loc[p] IN
  /\ l.pc = "mark"
  /\ IF (l.asread /\ ~asked) \/ Without("wake_up_marked")
     THEN asked' = TRUE /\ Go(p, [Idle EXCEPT !.pc = "wake"])
     ELSE Pass(p) /\ UNCHANGED asked
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, wakes, msgs, recs, bud, only, paid, soon>>
SendsWakeUp(p) ==
  /\ loc[p].pc = "wake" /\ Rest(p) /\ wakes' = (IF wakes < 3 THEN wakes + 1 ELSE 3)
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, msgs, recs, bud, only, paid, soon>>

(* A waiting job is canceled, and an admission pass follows. *)
Cancel(j) ==
  /\ loc[U] = Idle /\ row[j].st = "waiting" /\ Spend("cancel") /\ Pass(U)
  /\ row' = [row EXCEPT ![j] = [st |-> "done", adm |-> FALSE, own |-> "-"]]
  /\ wait' = wait \ {j} /\ soon' = soon \ {j}
  /\ UNCHANGED <<allow, unst, starts, tokens, asked, wakes, msgs, recs, only, paid>>

----------------------------------------------------------------------------
(* Time, the timer, the failures function *)

(* Both buckets fill as time passes. *)
More(n) == IF n < Burst THEN n + 1 ELSE n
TokenComes == /\ tokens < Burst \/ allow < Burst
              /\ tokens' = More(tokens) /\ allow' = More(allow)
              /\ UNCHANGED <<unst, starts, row, wait, asked, wakes, msgs, recs, loc, bud, only, paid, soon>>
WakesUp(w) ==    \* a wake-up is for when there is a token
  /\ wakes > 0 /\ tokens > 0 /\ loc[w] = Idle /\ wakes' = wakes - 1 /\ Pass(w)
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, msgs, recs, bud, only, paid, soon>>
TimerAdmits ==
  /\ loc[T] = Idle /\ wait # {} /\ tokens > 0 /\ ~Without("timer_admits") /\ Pass(T)
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, msgs, recs, bud, only, paid, soon>>
Resends(j) ==
  /\ row[j].st \in Claimable /\ msgs[j] = 0 /\ Send(j)
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, recs, loc, bud, only, paid, soon>>
SetsBack(j) ==   \* unclaimed for an hour: to the end of the line, and it pays again
  /\ loc[T] = Idle /\ row[j].st = "queued" /\ row[j].adm /\ Spend("hour")
  /\ Go(T, [See(j) EXCEPT !.pc = "hold_in_line"])
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, msgs, recs, only, paid, soon>>
Alive(j) == \E w \in Workers : loc[w].pc = "run" /\ loc[w].j = j /\ row[j].own = w
RescuesGone(j) ==
  /\ loc[T] = Idle /\ row[j].st = "running" /\ ~Alive(j)
  /\ row' = [row EXCEPT ![j] = [st |-> "done", adm |-> FALSE, own |-> "-"]] /\ paid' = paid \ {j} /\ unst' = unst \ {j}
  /\ UNCHANGED <<allow, starts, wait, tokens, asked, wakes, msgs, recs, loc, bud, only, soon>>
Settles(j) ==    \* a record whose job does not run any more has its line checked
  /\ j \in recs /\ loc[F] = Idle /\ recs' = recs \ {j}
  /\ Pass(F) /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, msgs, bud, only, paid, soon>>

----------------------------------------------------------------------------
(* What goes wrong *)

Kill(p) ==
  /\ loc[p] # Idle /\ Spend("kill") /\ Rest(p)
  /\ \/ /\ p \in Workers
        /\ \E j \in Jobs : (loc[p].j \in {0, j}) /\ recs' = recs \cup {j}
        /\ UNCHANGED only
     \/ UNCHANGED recs /\ only' = (only \/ loc[p].pc \notin {"mark", "wake"})
  /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, msgs, paid, soon>>
Lose(j)   == /\ msgs[j] > 0 /\ Spend("loss") /\ msgs' = [msgs EXCEPT ![j] = @ - 1]
             /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, recs, loc, only, paid, soon>>
LoseWakeUp == /\ wakes > 0 /\ Spend("loss") /\ wakes' = wakes - 1
              /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, msgs, recs, loc, only, paid, soon>>
Double(j) == /\ msgs[j] = 1 /\ Spend("double") /\ msgs' = [msgs EXCEPT ![j] = 2]
             /\ UNCHANGED <<allow, unst, starts, row, wait, tokens, asked, wakes, recs, loc, only, paid, soon>>

----------------------------------------------------------------------------
WorkerGoesOn(w) == \/ Receives(w) \/ Looks(w) \/ ComesLate(w) \/ Claims(w) \/ Holds(w) \/ Succeeds(w) \/ LosesClaim(w)
                   \/ PassLooks(w) \/ Admits(w) \/ HasDue(w) \/ Marks(w) \/ SendsWakeUp(w) \/ WakesUp(w)
TimerGoesOn     == \/ TimerAdmits \/ Holds(T) \/ PassLooks(T) \/ Admits(T) \/ HasDue(T) \/ Marks(T) \/ SendsWakeUp(T)
                   \/ \E j \in Jobs : Resends(j) \/ RescuesGone(j)
FailuresGoesOn  == \/ PassLooks(F) \/ Admits(F) \/ HasDue(F) \/ Marks(F) \/ SendsWakeUp(F)
                   \/ \E j \in Jobs : Settles(j)
PersonGoesOn    == \/ PassLooks(U) \/ Admits(U) \/ HasDue(U) \/ Marks(U) \/ SendsWakeUp(U)
GoesOn          == \/ (\E w \in Workers : WorkerGoesOn(w))
                   \/ TimerGoesOn \/ FailuresGoesOn \/ PersonGoesOn \/ TokenComes

Next ==
  \/ GoesOn \/ LoseWakeUp
  \/ \E w \in Workers : FailsAttempt(w) \/ EndsInvocation(w)
  \/ \E p \in Procs : Kill(p)
  \/ \E j \in Jobs : SetsBack(j) \/ Cancel(j) \/ Lose(j) \/ Double(j)

Spec == Init /\ [][Next]_vars
Live == Spec /\ (\A w \in Workers : WF_vars(WorkerGoesOn(w))) /\ WF_vars(TimerGoesOn)
             /\ WF_vars(FailuresGoesOn) /\ WF_vars(PersonGoesOn) /\ WF_vars(TokenComes)
Symmetric == Permutations(Workers)

----------------------------------------------------------------------------
(* What is promised *)

TypeOK ==
  /\ \A j \in Jobs : row[j].st \in {"queued", "retryable", "waiting", "running", "done"} /\ msgs[j] \in 0..2
  /\ tokens \in 0..Burst /\ allow \in 0..Burst /\ \A j \in wait : row[j].st = "waiting"

(* A running job has paid, once for each start. *)
RunsPaid == \A j \in Jobs : row[j].st = "running" => j \in paid
Pays(j)  == j \in paid' /\ (j \notin paid \/ (tokens' < tokens /\ row[j] # row'[j]))
PaysOnce == [][\A j \in Jobs : Pays(j) => j \notin paid]_vars
(* There was a token: the rate is never exceeded. *)
NeverMore == [][\A j \in Jobs : Pays(j) => tokens > 0]_vars
(* However late its message is, a job starts only if a start is counted. *)
Begins(j)     == row[j].st # "running" /\ row'[j].st = "running" /\ j \in unst'
StartsCounted == [][\A j \in Jobs : Begins(j) => allow' < allow]_vars
(* Only queued rows are marked as admitted. *)
MarkedOnlyQueued == \A j \in Jobs : row[j].adm => row[j].st = "queued"

(* No waiting job is forgotten: an admission pass is about to run, or a wake-up is under way. If   *)
(* that was lost, or its sender was killed, the timer looks a minute later. The timer's hourly     *)
(* check is needed only after a kill without a failure record.                                     *)
Lost == bud["kill"] < Kills \/ bud["loss"] < Losses
Told == wait # {} => \/ \E p \in Procs : loc[p].pc \in {"hold_in_line", "pass", "admit", "due", "relies", "mark", "wake"}
                     \/ wakes > 0 \/ recs # {} \/ only \/ (Lost /\ soon \cap wait # {})
(* Waiting jobs don't request a wake-up each: a grant requests at most one, for the next job. *)
FewWakeUps == wakes <= starts

NoStall == ENABLED (GoesOn /\ ~TokenComes) \/ tokens < Burst \/ allow < Burst \/ \A j \in Jobs : row[j].st = "done"
AllEnds == <>[](\A j \in Jobs : row[j].st = "done")
=============================================================================
