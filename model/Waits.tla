-------------------------------- MODULE Waits --------------------------------
(* One job that waits for signals: its row, its signals, and their senders.    *)
(* In each invocation, its function runs from the start again. It waits for each of   *)
(* Names in turn (Kind "one"), or once for any of them (Kind "any").           *)
(*                                                                             *)
(* A step is one write, one transaction, or one read. A transaction becomes    *)
(* visible item by item. Until it has settled, a read may find an item as it   *)
(* was before.                                                                 *)
EXTENDS Integers, FiniteSets, Sequences, TLC

CONSTANTS
  Names,     \* the signals that the function waits for, in this order
  Kind,      \* "one" or "any"
  Sends,     \* the requests, each a name and a value
  Procs,     \* workers
  Timeouts,  \* whether the end of a wait may come
  Timer,     \* whether the timer runs
  Kills, Zombies, Cancels, Requeues, \* the largest number of each of these events
  WakeUps,   \* the largest number of admissions without a cause
  Broken

Without(safeguard) == Broken = safeguard
None     == 0
TimedOut == -1
Of       == {Names[i] : i \in DOMAIN Names}
Waits    == Of \cup {"any"}
Works    == 0..1   \* the work with the first payload, and the work with another one
Over     == {"done", "canceled"}

(* Values for runs.toml. *)
A  == <<"a">>
AB == <<"a", "b">>
OneSend   == {<<"a", 1>>}
TwoValues == {<<"a", 1>>, <<"a", 2>>}
TwoNames  == {<<"a", 1>>, <<"b", 2>>}

VARIABLES
  row,   \* st; tok: the number of its claims; for: the signals that it waits for; work
  sig,   \* work -> name -> its value, None, or TimedOut
  any,   \* work -> the recorded answer of the wait for any signal: a name, "timeout" or "none"
  late,  \* the waits whose end has come
  was,   \* row and sig before the last transaction, until that has settled
  calm,  \* whether the last transaction has settled
  loc,   \* worker -> its next step, its claim, its wait, its work
  snd,   \* request -> its next step, the row that it has read, its answer
  got,   \* work -> wait -> all answers with which invocations have continued
  bud    \* how often each event may still happen

vars == <<row, sig, any, late, was, calm, loc, snd, got, bud>>

Idle == [pc |-> "idle", tok |-> 0, at |-> 1, work |-> 0]
Rest == [pc |-> "idle", row |-> [st |-> "-", tok |-> 0, for |-> {}, work |-> 0], answer |-> 0]
Spend(what) == bud[what] > 0 /\ bud' = [bud EXCEPT ![what] = @ - 1]
Goes(p, l)  == loc' = [loc EXCEPT ![p] = l]
Rests(p)    == Goes(p, Idle)
At(p, pc)   == loc[p].pc = pc
Ours(l)     == row.st = "run" /\ row.tok = l.tok
Queued      == [row EXCEPT !.st = "queued", !.for = {}]
(* The values that a read may find. *)
Rows        == {row} \cup (IF calm THEN {} ELSE {was.row})
Sigs(w, n)  == {sig[w][n]} \cup (IF calm THEN {} ELSE {was.sig[w][n]})
(* A write of one item, a transaction, and a step that writes neither the row nor a signal. *)
Plain       == calm /\ UNCHANGED calm /\ was' = [row |-> row', sig |-> sig']
Transaction == calm /\ calm' = FALSE /\ was' = [row |-> row, sig |-> sig]
Reads       == UNCHANGED <<row, sig, any, late, was, calm, bud>>

Init ==
  /\ row = [st |-> "queued", tok |-> 0, for |-> {}, work |-> 0]
  /\ sig = [w \in Works |-> [n \in Of |-> None]] /\ any = [w \in Works |-> "none"] /\ late = {}
  /\ was = [row |-> row, sig |-> sig] /\ calm = TRUE
  /\ loc = [p \in Procs |-> Idle] /\ snd = [s \in Sends |-> Rest]
  /\ got = [w \in Works |-> [n \in Waits |-> {}]]
  /\ bud = [kill |-> Kills, zombie |-> Zombies, cancel |-> Cancels, requeue |-> Requeues, wake |-> WakeUps]

Settles == ~calm /\ calm' = TRUE /\ was' = [row |-> row, sig |-> sig] /\ UNCHANGED <<row, sig, any, late, loc, snd, got, bud>>

----------------------------------------------------------------------------
(* An invocation *)

Claims(p) ==
  /\ loc[p] = Idle /\ row.st = "queued"
  /\ row' = [row EXCEPT !.st = "run", !.tok = @ + 1]
  /\ Goes(p, [Idle EXCEPT !.pc = "wait", !.tok = row.tok + 1, !.work = row.work])
  /\ UNCHANGED <<sig, any, late, snd, got, bud>> /\ Plain

Next1(l) == IF l.at >= Len(Names) \/ Kind = "any" THEN [l EXCEPT !.pc = "end"] ELSE [l EXCEPT !.at = @ + 1, !.pc = "wait"]
Continues(p, l, w, v) == Goes(p, Next1(l)) /\ got' = [got EXCEPT ![l.work][w] = @ \cup {v}]

(* Reads the signal, and continues with it. Otherwise the invocation times out or begins to wait. *)
ReadsSignal(p) ==
  LET l == loc[p] n == Names[l.at] IN
  /\ At(p, "wait") /\ Kind = "one"
  /\ \E v \in Sigs(l.work, n) :
       IF v # None THEN Continues(p, l, n, v)
       ELSE UNCHANGED got /\ Goes(p, [l EXCEPT !.pc = IF n \in late THEN "timeout" ELSE "begin_wait"])
  /\ UNCHANGED snd /\ Reads

(* A recorded answer is the answer of each later invocation. *)
ReadsSignals(p) ==
  LET l == loc[p] IN
  /\ At(p, "wait") /\ Kind = "any"
  /\ IF any[l.work] # "none" /\ ~Without("any_recorded") THEN Continues(p, l, "any", any[l.work])
     ELSE /\ UNCHANGED got
          /\ \E f \in [Of -> {None, 1, 2}] :
               /\ \A n \in Of : f[n] \in Sigs(l.work, n)
               /\ LET come == {i \in DOMAIN Names : f[Names[i]] # None} IN
                  IF come = {} THEN Goes(p, [l EXCEPT !.pc = IF "any" \in late THEN "timeout" ELSE "begin_wait"])
                  ELSE Goes(p, [l EXCEPT !.pc = "record", !.at = CHOOSE i \in come : \A j \in come : i <= j])
  /\ UNCHANGED snd /\ Reads

RecordsFirst(p) ==
  LET l == loc[p] IN
  /\ At(p, "record")
  /\ any' = [any EXCEPT ![l.work] = IF @ = "none" \/ Without("any_recorded") THEN Names[l.at] ELSE @]
  /\ Continues(p, l, "any", any'[l.work])
  /\ UNCHANGED <<row, sig, late, snd, was, calm, bud>>

For(l) == IF Kind = "any" THEN Of ELSE {Names[l.at]}

(* One transaction checks that no signal has come. If one has, the job continues in another invocation. *)
BeginsWait(p) ==
  LET l == loc[p] IN
  /\ At(p, "begin_wait") /\ Rests(p) /\ UNCHANGED <<sig, any, late, snd, got, bud>>
  /\ IF ~Ours(l) THEN UNCHANGED row /\ Plain
     ELSE IF (\A n \in For(l) : sig[l.work][n] = None) \/ Without("wait_checks")
     THEN row' = [row EXCEPT !.st = "wait", !.for = For(l)] /\ Transaction
     ELSE row' = Queued /\ Plain

(* The end of the wait is recorded unless an answer is there. The transaction checks the claim. *)
TimesOut(p) ==
  LET l == loc[p] IN
  /\ At(p, "timeout")
  /\ IF ~Ours(l) /\ ~Without("timeout_fence")
     THEN Rests(p) /\ UNCHANGED <<any, sig, got>>
     ELSE IF Kind = "any"
     THEN /\ any' = [any EXCEPT ![l.work] = IF @ = "none" \/ Without("any_recorded") THEN "timeout" ELSE @]
          /\ Continues(p, l, "any", any'[l.work]) /\ UNCHANGED sig
     ELSE /\ UNCHANGED any
          /\ LET n == Names[l.at] old == sig[l.work][n]
                 new == IF old = None \/ Without("timeout_if_none") THEN TimedOut ELSE old IN
             /\ sig' = IF Without("timeout_recorded") THEN sig ELSE [sig EXCEPT ![l.work][n] = new]
             /\ Continues(p, l, n, new)
  /\ UNCHANGED <<row, late, snd, bud>> /\ Plain

EndsInvocation(p) ==
  /\ At(p, "end") /\ Rests(p)
  /\ row' = IF Ours(loc[p]) THEN [row EXCEPT !.st = "done"] ELSE row
  /\ UNCHANGED <<sig, any, late, snd, got, bud>> /\ Plain

(* The worker is gone. In some cases it is only frozen, and continues later. *)
Rescue ==
  /\ row.st = "run" /\ row' = Queued
  /\ IF \E p \in Procs : loc[p] # Idle /\ loc[p].tok = row.tok THEN Spend("zombie") ELSE UNCHANGED bud
  /\ UNCHANGED <<sig, any, late, loc, snd, got>> /\ Plain

----------------------------------------------------------------------------
(* Time, the timer, and operators *)

TimeComes == /\ Timeouts /\ \E w \in (IF Kind = "any" THEN {"any"} ELSE Of) \ late : late' = late \cup {w}
             /\ UNCHANGED <<row, sig, any, was, calm, loc, snd, got, bud>>
IsLate == \E w \in late : w = "any" \/ w \in row.for
TimerAdmits ==
  /\ Timer /\ row.st = "wait" /\ IsLate /\ row' = Queued
  /\ UNCHANGED <<sig, any, late, loc, snd, got, bud>> /\ Plain
WakesForNothing ==
  /\ row.st = "wait" /\ Spend("wake") /\ row' = Queued
  /\ UNCHANGED <<sig, any, late, loc, snd, got>> /\ Plain
Cancel ==
  /\ row.st \in {"wait", "queued"} /\ Spend("cancel") /\ row' = [row EXCEPT !.st = "canceled", !.for = {}]
  /\ UNCHANGED <<sig, any, late, loc, snd, got>> /\ Plain
(* With the same payload, or with another one, which begins other work. *)
Requeue ==
  /\ row.st = "canceled" /\ Spend("requeue")
  /\ \E w \in {row.work, 1} : row' = [Queued EXCEPT !.work = w] /\ late' = IF w = row.work THEN late ELSE {}
  /\ UNCHANGED <<sig, any, loc, snd, got>> /\ Plain

----------------------------------------------------------------------------
(* A request that sends a signal: it reads the row and the signal, and then writes *)

ReadsRow(s) ==
  /\ snd[s].pc = "idle"
  /\ \E r \in Rows : snd' = [snd EXCEPT ![s].pc = "look", ![s].row = r]
  /\ UNCHANGED <<loc, got>> /\ Reads

Answers(s, a) == snd' = [snd EXCEPT ![s].pc = "said", ![s].answer = a]
Again(s)      == snd' = [snd EXCEPT ![s].pc = "idle"]

LooksForSignal(s) ==
  LET r == snd[s].row IN
  /\ snd[s].pc = "look"
  /\ \E v \in Sigs(r.work, s[1]) :
       IF v = TimedOut THEN Answers(s, 410)
       ELSE IF v # None THEN Answers(s, IF v = s[2] THEN 200 ELSE 409)
       ELSE IF r.st \in Over THEN Answers(s, 410)
       ELSE snd' = [snd EXCEPT ![s].pc = "put"]
  /\ UNCHANGED <<loc, got>> /\ Reads

(* One transaction stores the signal and admits the job if it waits for that signal. *)
PutsSignal(s) ==
  LET r == snd[s].row n == s[1]
      admits == r.st = "wait" /\ n \in r.for
      same_work == row.work = r.work \/ Without("work_checked")
      as_read == (row.st = r.st /\ row.tok = r.tok) \/ Without("row_as_read")
      free == sig[r.work][n] = None \/ Without("signal_if_none")
  IN
  /\ snd[s].pc = "put" /\ calm
  /\ IF ~(same_work /\ as_read /\ free) THEN UNCHANGED <<row, sig>> /\ Plain /\ Again(s)
     ELSE /\ sig' = [sig EXCEPT ![r.work][n] = s[2]]
          /\ IF Without("one_write") /\ admits
             THEN UNCHANGED row /\ Plain /\ snd' = [snd EXCEPT ![s].pc = "wake"]
             ELSE row' = (IF admits THEN Queued ELSE row) /\ Transaction /\ Answers(s, 200)
  /\ UNCHANGED <<any, late, loc, got, bud>>

AdmitsLater(s) ==   \* only in a twin
  /\ snd[s].pc = "wake" /\ Answers(s, 200)
  /\ row' = IF row.st = "wait" /\ row.tok = snd[s].row.tok THEN Queued ELSE row
  /\ UNCHANGED <<sig, any, late, loc, got, bud>> /\ Plain

(* A request ends before its answer, or its answer is lost. It may be sent again. *)
KillSender(s) ==
  /\ snd[s].pc # "idle" /\ Spend("kill") /\ snd' = [snd EXCEPT ![s] = Rest]
  /\ UNCHANGED <<row, sig, any, late, was, calm, loc, got>>
Kill(p) == loc[p] # Idle /\ Spend("kill") /\ Rests(p) /\ UNCHANGED <<row, sig, any, late, was, calm, snd, got>>

GoesOn(p) == ReadsSignal(p) \/ ReadsSignals(p) \/ RecordsFirst(p) \/ BeginsWait(p) \/ TimesOut(p) \/ EndsInvocation(p)
Next ==
  \/ Settles \/ Rescue \/ TimeComes \/ TimerAdmits \/ WakesForNothing \/ Cancel \/ Requeue
  \/ \E p \in Procs : GoesOn(p) \/ Claims(p) \/ Kill(p)
  \/ \E s \in Sends : ReadsRow(s) \/ LooksForSignal(s) \/ PutsSignal(s) \/ AdmitsLater(s) \/ KillSender(s)

Spec == Init /\ [][Next]_vars
Live ==
  /\ Spec /\ WF_vars(Settles) /\ WF_vars(Rescue) /\ WF_vars(TimerAdmits) /\ WF_vars(TimeComes)
  /\ \A p \in Procs : WF_vars(GoesOn(p)) /\ SF_vars(Claims(p))

----------------------------------------------------------------------------
(* The promises *)

(* A job never waits for a signal that has come. *)
NoLostSignal == calm /\ row.st = "wait" => \A n \in row.for : sig[row.work][n] = None
(* Each invocation continues with the same answer of a wait. *)
OneAnswer == [][\A w \in Works, n \in Waits : Cardinality(got'[w][n]) <= 1]_vars
(* A wait returns only values that were sent. *)
OnlySent == \A w \in Works, n \in Of : \A v \in got[w][n] : v = TimedOut \/ <<n, v>> \in Sends
(* A signal that was answered with 200 stays, and no wait returns another value. *)
AnswerHolds ==
  [][\A s \in Sends : snd[s].pc = "said" /\ snd[s].answer = 200
       => LET w == snd[s].row.work IN sig'[w][s[1]] = s[2] /\ got'[w][s[1]] \subseteq {s[2]}]_vars
(* A signal is stored for the work that the job does at that moment. *)
OfThisWork ==
  [][\A w \in Works, n \in Of : sig[w][n] = None /\ sig'[w][n] \notin {None, TimedOut} => row.work = w]_vars
(* Only a signal, the end of the wait or an admission without a cause continues the job. *)
WokenForIt ==
  [][row.st = "wait" /\ row'.st = "queued" =>
       \/ bud'.wake # bud.wake \/ IsLate \/ \E n \in row.for : sig'[row.work][n] # None]_vars
(* In the end, a job whose signal has come continues. If waits end, the job ends. *)
Ends == (Timeouts \/ \A n \in Of : <>(sig[0][n] # None)) => <>[](row.st \in Over)
=============================================================================
