----------------------------- MODULE Lifecycle -----------------------------
(* One job, from its saving to its end, on a Lambda that delivers twice, late *)
(* or not at all, and kills at any step. Without limits, jobs don't affect    *)
(* each other, so one job with several workers is enough.                     *)
(*                                                                            *)
(* A step is one write to the table, one read on which a decision is based,   *)
(* or one fault. The number of faults is bounded, so every behavior ends.     *)
(* README.md maps each action to its function.                                *)
EXTENDS Transitions, FiniteSets, TLC

CONSTANTS
  Workers,   \* invocations of the worker that may run at once
  People,    \* requests of people that may run at once
  Attempts,  \* possible values of max_attempts
  MaxInvocations,
  MostIds,   \* the largest number for a message
  Kills, Freezes, Doubles, Losses, NotLoaded, Unheard, Away, Late, Again, \* the most faults of each kind
  Cancels, Requeues, Deletes, Saves, Ages                              \* the most requests of each kind

VARIABLES
  row,    \* the job's row
  over,   \* its lease is over, by every clock
  early,  \* its run_at is in the future
  aged,   \* its expires_at has passed
  msgs,   \* message -> the number of its copies under way
  recs,   \* failure records under way: the message, and whether its function ran
  loc,    \* process -> its state
  bud,    \* the faults and requests that may still happen
  gone,   \* the claimer of the row's last claim was killed, or was frozen
  dead,   \* messages with a delivery that was killed
  open,   \* the attempt in which an invocation began and didn't end in order; 0 for none
  by      \* the process and the transition that wrote the row in this step

vars  == <<row, over, early, aged, msgs, recs, loc, bud, gone, dead, open, by>>
world == <<aged, recs, gone, dead>>   \* most actions don't change these

Ids == 1..MostIds
T == "timer"
F == "failures"
Procs  == Workers \cup People \cup {T, F}
Nobody == [p |-> "nobody", do |-> "nothing"]
(* pc: idle; claim: a claim landed, and its response was lost; give_back; claimed; called: the      *)
(* function runs; write: a transition is decided, or it landed and its response was lost.                 *)
Idle   == [pc |-> "idle", t |-> 0, s |-> 0, do |-> "nothing", seen |-> NoRow, frozen |-> FALSE]

Spend(what)  == bud[what] > 0 /\ bud' = [bud EXCEPT ![what] = @ - 1]
Go(p, l)     == loc' = [loc EXCEPT ![p] = l]
Rest(p)      == Go(p, Idle)
Under(s)     == msgs[s] > 0
Untouched    == by' = Nobody /\ UNCHANGED <<row, open>>

(* Tokens and send ids are random, so a new one differs from all that are still in use. *)
Lowest(S) == CHOOSE x \in S : \A y \in S : x <= y
KnownToks == {row.tok} \cup {loc[p].t : p \in Procs} \cup {loc[p].seen.tok : p \in Procs}
NewTok    == Lowest((1..(2 * Cardinality(Procs) + 2)) \ KnownToks)
KnownIds  == {row.snd} \cup {s \in Ids : Under(s)} \cup {rec.s : rec \in recs}
             \cup {loc[p].s : p \in Procs} \cup {loc[p].seen.snd : p \in Procs}
Posted    == [msgs EXCEPT ![Lowest(Ids \ KnownIds)] = 1]
View == <<row, over, early, aged, msgs, recs, loc, bud, gone, dead \cap KnownIds, open>>

Init ==
  /\ \E most \in Attempts, later \in BOOLEAN :
        row = Save(NoRow, most, later) /\ early = later
  /\ over = FALSE /\ aged = FALSE
  /\ msgs = [s \in Ids |-> IF s = 1 THEN 1 ELSE 0] /\ recs = {}
  /\ loc = [p \in Procs |-> Idle]
  /\ bud = [kill |-> Kills, freeze |-> Freezes, double |-> Doubles, loss |-> Losses,
            unloaded |-> NotLoaded, unheard |-> Unheard, away |-> Away, late |-> Late, again |-> Again,
            cancel |-> Cancels, requeue |-> Requeues, delete |-> Deletes, save |-> Saves, age |-> Ages]
  /\ gone = FALSE /\ dead = {} /\ open = 0 /\ by = Nobody

(* After these transitions, the writer sends a message for the next step. If it is lost, the row is due.  *)
SendsOn == {"retry", "end_invocation", "release", "postpone", "requeue", "save"}
Heard(p, do, next) ==
  /\ Go(p, next)
  /\ msgs' = IF do \in SendsOn THEN Posted ELSE msgs
  /\ dead' = IF do \in SendsOn THEN dead \cap KnownIds ELSE dead

(* A write lands. If its response is lost, the writer doesn't know that, and tries again.           *)
Lands(p, do, r, next, unheard) ==
  /\ row' = r /\ by' = [p |-> p, do |-> do]
  /\ \/ Heard(p, do, next) /\ UNCHANGED bud
     \/ Spend("unheard") /\ Go(p, unheard) /\ UNCHANGED <<msgs, dead>>

(* A write is refused, and its writer reads the row. If the row shows this write, it succeeded.     *)
Leaves(do) == CASE do = "succeed" -> "succeeded" [] do \in {"fail", "expire"} -> "failed"
                [] do \in {"stop", "cancel"} -> "canceled" [] do = "retry" -> "retryable"
                [] do = "claim" -> "running" [] OTHER -> "queued"
Applied(do, t) == row.st = Leaves(do) /\ row.tok = t /\ ~Without("reread")
Refused(p, do, t, next, otherwise) ==
  /\ Untouched /\ UNCHANGED bud
  /\ IF Applied(do, t) THEN Heard(p, do, next) ELSE Go(p, otherwise) /\ UNCHANGED <<msgs, dead>>

----------------------------------------------------------------------------
(* The worker *)

(* A message arrives, and the worker claims its job. *)
Receives(w) ==
  /\ loc[w] = Idle
  /\ \E s \in Ids :
       LET l == [Idle EXCEPT !.t = NewTok, !.s = s] IN
       /\ Under(s) /\ msgs' = [msgs EXCEPT ![s] = @ - 1]
       /\ IF ClaimOk(row, early)
          THEN /\ row' = Claim(row, l.t, s) /\ by' = [p |-> w, do |-> "claim"]
               /\ over' = FALSE /\ early' = FALSE /\ gone' = FALSE
               /\ \/ Go(w, [l EXCEPT !.pc = "claimed"]) /\ UNCHANGED bud
                  \/ Go(w, [l EXCEPT !.pc = "claim"]) /\ Spend("unheard")
          ELSE by' = Nobody /\ UNCHANGED <<row, over, early, gone, loc, bud>>
  /\ UNCHANGED <<aged, recs, dead, open>>

(* A claim whose response was lost is tried again with the same token. *)
ClaimsAgain(w) ==
  LET l == loc[w] IN
  /\ l.pc = "claim"
  /\ IF ClaimOk(row, early) /\ ~(row.tok = l.t /\ row.st = "running")
     THEN /\ row' = Claim(row, l.t, l.s) /\ by' = [p |-> w, do |-> "claim"]
          /\ over' = FALSE /\ early' = FALSE /\ gone' = l.frozen
          /\ Go(w, [l EXCEPT !.pc = "claimed"]) /\ UNCHANGED open
     ELSE /\ Go(w, IF row.tok = l.t /\ ~Without("reread")
                      /\ (row.st = "running" \/ Without("reread_asks_status"))
                   THEN [l EXCEPT !.pc = "claimed"] ELSE Idle)
          /\ Untouched /\ UNCHANGED <<over, early, gone>>
  /\ UNCHANGED <<aged, msgs, recs, bud, dead>>

(* AWS is unavailable until too little time is left to start. The worker gives the claim back. *)
GivesUpClaim(w) ==
  /\ loc[w].pc = "claim" /\ Spend("away")
  /\ IF Without("claim_given_back") THEN Rest(w) ELSE Go(w, [loc[w] EXCEPT !.pc = "give_back"])
  /\ Untouched /\ UNCHANGED <<over, early, msgs, world>>
GivesBack(w) ==
  LET l == loc[w] IN
  /\ l.pc = "give_back"
  /\ IF row.st = "running" /\ row.tok = l.t THEN Go(w, [l EXCEPT !.pc = "write", !.do = "release"])
                                            ELSE Rest(w)
  /\ Untouched /\ UNCHANGED <<over, early, msgs, bud, world>>

(* The worker calls the job's function, and an invocation begins. *)
Calls(w) ==
  /\ loc[w].pc = "claimed"
  /\ Go(w, [loc[w] EXCEPT !.pc = "called"])
  /\ open' = IF Owned(row, loc[w].t) THEN row.att ELSE open
  /\ by' = Nobody /\ UNCHANGED <<row, over, early, msgs, bud, world>>

(* The transitions that end a run: job_runners/store/transitions/ending.py.                                                 *)
EndOk(do, r, t) == CASE do = "succeed" -> SucceedOk(r, t)
                     [] do = "fail"    -> FailOk(r, t)
                     [] do = "stop"    -> StopOk(r, t)
                     [] do = "retry"   -> RetryOk(r, t)
                     [] do = "end_invocation" -> EndInvocationOk(r, t)
                     [] do = "release" -> ReleaseOk(r, t)
End(do, r)      == CASE do = "succeed" -> Succeed(r)
                     [] do = "fail"    -> Fail(r)
                     [] do = "stop"    -> Stop(r)
                     [] do = "retry"   -> Retry(r)
                     [] do = "end_invocation" -> EndInvocation(r)
                     [] do = "release" -> Release(r)
Ends == {"succeed", "fail", "stop", "retry", "end_invocation", "release"}
(* A retry runs at a later time or at once. *)
Waits(do) == IF do = "retry" /\ row' # row THEN early' \in BOOLEAN ELSE UNCHANGED early
InOrder(do) == open' = IF do \in {"end_invocation", "release"} /\ row' # row THEN 0 ELSE open

Ending(w, do) ==
  LET l == loc[w]
      stops == [l EXCEPT !.pc = "write", !.do = "stop"]
  IN
  /\ IF EndOk(do, row, l.t)
     THEN /\ Lands(w, do, End(do, row), Idle, [l EXCEPT !.pc = "write", !.do = do])
          /\ Waits(do) /\ InOrder(do)
     ELSE /\ Refused(w, do, l.t, Idle, IF Owned(row, l.t) /\ row.can THEN stops ELSE Idle)
          /\ UNCHANGED early
  /\ UNCHANGED <<over, aged, recs, gone>>

MayRetry(r)  == r.att < r.most /\ r.invocations < MaxInvocations
(* The payload can't be read yet, or too little time is left. The worker releases the job without a *)
(* call.                                                                                            *)
IsReleased(w) == loc[w].pc = "claimed" /\ bud["away"] > 0 /\ Ending(w, "release")
Returns(w)    == loc[w].pc = "called" /\ Ending(w, "succeed")
Raises(w)     == loc[w].pc = "called" /\ (Ending(w, "fail") \/ (MayRetry(row) /\ Ending(w, "retry")))
InvocationIsOver(w)  == /\ loc[w].pc = "called" /\ (row.invocations < MaxInvocations \/ Without("invocations_counted"))
                 /\ Ending(w, "end_invocation")
(* A checkpoint finds that the job's owner has asked it to stop, or that its claim is lost.         *)
HearsCancel(w) == loc[w].pc = "called" /\ CheckpointOk(row, loc[w].t) /\ row.can /\ Ending(w, "stop")
WritesAgain(w) == loc[w].pc = "write" /\ Ending(w, loc[w].do)

----------------------------------------------------------------------------
(* The writes of the timer and the failures function, based on a row that they have read. *)

Settling(seen) == IF seen.can THEN "stop" ELSE IF MayRetry(seen) THEN "retry" ELSE "fail"
Decides(p, do, s) == Go(p, [Idle EXCEPT !.pc = "write", !.do = do, !.seen = row, !.s = s])

TimerLooks ==
  /\ loc[T] = Idle /\ row.due
  /\ \/ /\ row.st = "running" /\ (over \/ Without("lease_waited_for"))
        /\ Decides(T, Settling(row), 0) /\ UNCHANGED bud
     \/ /\ row.st \in Unclaimed /\ ~early /\ ~Without("timer_sends_again")
        /\ Decides(T, "postpone", 0)
        /\ IF \E s \in Ids : Under(s) THEN Spend("again") ELSE UNCHANGED bud
     \/ /\ row.st \in Unclaimed /\ row.invocations = 0 /\ Spend("late")   \* no worker could start it for a day
        /\ Decides(T, "expire", 0)
  /\ Untouched /\ UNCHANGED <<over, early, msgs, world>>

RescueOk(l) == CASE l.do = "fail"  -> RescueFailOk(row, l.seen, over)
                 [] l.do = "stop"  -> RescueStopOk(row, l.seen, over)
                 [] l.do = "retry" -> RescueRetryOk(row, l.seen, over)
Rescue(do)  == IF Without("rescue_counts") THEN Queued(row) ELSE End(do, row)
StopsInstead(p, l) == IF l.do \in {"retry", "fail"} /\ Owned(row, l.seen.tok) /\ row.can
                      THEN [l EXCEPT !.do = "stop"] ELSE Idle

TimerWrites ==
  LET l == loc[T]
      refused == Refused(T, l.do, l.seen.tok, Idle, StopsInstead(T, l))
  IN
  /\ l.pc = "write"
  /\ CASE l.do = "postpone" -> IF PostponeOk(row, l.seen)
                               THEN UNCHANGED <<row, bud>> /\ by' = Nobody /\ Heard(T, l.do, Idle)
                               ELSE Untouched /\ Rest(T) /\ UNCHANGED <<msgs, bud, dead>>
       [] l.do = "expire"   -> IF ExpireOk(row, l.seen) THEN Lands(T, l.do, Expire(row), Idle, l)
                               ELSE refused
       [] OTHER             -> IF RescueOk(l) THEN Lands(T, l.do, Rescue(l.do), Idle, l)
                               ELSE refused
  /\ Waits(l.do) /\ UNCHANGED <<over, aged, recs, gone, open>>

(* A failure record of an event that Lambda gave up on. It is delivered again until it is handled. *)
FailuresLooks ==
  /\ loc[F] = Idle
  /\ \E rec \in recs :
       IF /\ row.st = "running"
          /\ row.snd = rec.s \/ Without("settle_asks_message")
          /\ rec.ran \/ Without("never_ran_ignored")
       THEN Decides(F, Settling(row), rec.s) /\ UNCHANGED recs
       ELSE recs' = recs \ {rec} /\ UNCHANGED loc
  /\ Untouched /\ UNCHANGED <<over, early, aged, msgs, bud, gone, dead>>

FailuresWrites ==
  LET l == loc[F]
      t == IF Without("settle_asks_token") THEN row.tok ELSE l.seen.tok
  IN
  /\ l.pc = "write"
  /\ IF EndOk(l.do, row, t) THEN Lands(F, l.do, End(l.do, row), Idle, l)
                            ELSE Refused(F, l.do, t, Idle, StopsInstead(F, l))
  /\ recs' = {rec \in recs : rec.s # l.s}
  /\ Waits(l.do) /\ UNCHANGED <<over, aged, gone, open>>

----------------------------------------------------------------------------
(* People *)

Asks(u, do, what) == /\ loc[u] = Idle /\ Spend(what) /\ Decides(u, do, 0)
                     /\ Untouched /\ UNCHANGED <<over, early, msgs, world>>
AsksCancel(u)  == \/ row.st \in Unclaimed /\ Asks(u, "cancel", "cancel")
                  \/ row.st = "running" /\ Asks(u, "request_cancel", "cancel")
AsksRequeue(u) == row.st \in {"failed", "canceled"} /\ Asks(u, "requeue", "requeue")
AsksDelete(u)  == row.st \in Over /\ Asks(u, "delete", "delete")
AsksSave(u)    == Asks(u, "save", "save")  \* the same request again: its id is derived from its key

(* A refused cancel reads the row again; the others answer with its state. *)
LooksAgain(l) ==
  IF l.do \in {"cancel", "request_cancel"} /\ row.st \in Unclaimed THEN [l EXCEPT !.do = "cancel", !.seen = row]
  ELSE IF l.do \in {"cancel", "request_cancel"} /\ row.st = "running" /\ ~row.can
  THEN [l EXCEPT !.do = "request_cancel"]
  ELSE Idle
AsksOk(l) == LET expired == aged /\ row.st \in Over IN
  CASE l.do = "cancel"         -> CancelOk(row, l.seen)
    [] l.do = "request_cancel" -> RequestCancelOk(row)
    [] l.do = "requeue"        -> RequeueOk(row, l.seen, expired)
    [] l.do = "delete"         -> DeleteOk(row, l.seen)
    [] l.do = "save"           -> SaveOk(row, expired)

PersonWrites(u) ==
  LET l == loc[u] IN
  /\ l.pc = "write"
  /\ IF AsksOk(l)
     THEN CASE l.do = "cancel"         -> Lands(u, l.do, Cancel(row), Idle, l) /\ UNCHANGED <<early, aged, open>>
            [] l.do = "request_cancel" -> Lands(u, l.do, RequestCancel(row), Idle, l) /\ UNCHANGED <<early, aged, open>>
            [] l.do = "requeue"        -> Lands(u, l.do, Requeue(row), Idle, l) /\ open' = 0 /\ UNCHANGED <<early, aged>>
            [] l.do = "delete"         -> Lands(u, l.do, Delete(row), Idle, l) /\ open' = 0 /\ UNCHANGED <<early, aged>>
            [] l.do = "save"           -> /\ \E most \in Attempts, later \in BOOLEAN :
                                               Lands(u, l.do, Save(row, most, later), Idle, l) /\ early' = later
                                          /\ aged' = FALSE /\ open' = 0
     ELSE Untouched /\ Go(u, LooksAgain(l)) /\ UNCHANGED <<early, aged, msgs, bud, dead>>
  /\ UNCHANGED <<over, recs, gone>>

----------------------------------------------------------------------------
(* Time and faults *)

(* Lambda ends an invocation at its deadline, a minute before the lease is over. But an invocation *)
(* that was frozen and thaws doesn't know how late it is.                                          *)
HasClaim(w) == loc[w].t = row.tok /\ loc[w].pc # "idle"
LeaseEnds ==
  /\ row.lease /\ ~over
  /\ Without("lease_outlives") \/ \A w \in Workers : HasClaim(w) => loc[w].frozen
  /\ over' = TRUE
  /\ Untouched /\ UNCHANGED <<early, msgs, loc, bud, world>>
TimeComes == early /\ early' = FALSE /\ Untouched /\ UNCHANGED <<over, msgs, loc, bud, world>>
Expires   == /\ row.st \in Over /\ ~aged /\ Spend("age") /\ aged' = TRUE
             /\ Untouched /\ UNCHANGED <<over, early, msgs, recs, loc, gone, dead>>

Recorded(s, ran) == recs' = recs \cup {[s |-> s, ran |-> ran]} \/ UNCHANGED recs  \* or the record is lost
Kill(p) ==
  /\ loc[p] # Idle /\ Spend("kill") /\ Rest(p)
  /\ IF p \in Workers
     THEN Recorded(loc[p].s, TRUE) /\ gone' = (gone \/ HasClaim(p)) /\ dead' = dead \cup {loc[p].s}
     ELSE UNCHANGED <<recs, gone, dead>>
  /\ Untouched /\ UNCHANGED <<over, early, aged, msgs>>
(* A worker is killed before it has claimed. *)
KillOnArrival(s) ==
  /\ Under(s) /\ Spend("kill") /\ msgs' = [msgs EXCEPT ![s] = @ - 1]
  /\ Recorded(s, TRUE) /\ dead' = dead \cup {s}
  /\ Untouched /\ UNCHANGED <<over, early, aged, loc, gone>>
Freeze(w) ==
  /\ loc[w] # Idle /\ ~loc[w].frozen /\ Spend("freeze")
  /\ Go(w, [loc[w] EXCEPT !.frozen = TRUE]) /\ gone' = (gone \/ HasClaim(w))
  /\ Untouched /\ UNCHANGED <<over, early, aged, msgs, recs, dead>>
Double(s) == /\ msgs[s] = 1 /\ Spend("double") /\ msgs' = [msgs EXCEPT ![s] = 2]
             /\ Untouched /\ UNCHANGED <<over, early, loc, world>>
Lose(s)   == /\ Under(s) /\ Spend("loss") /\ msgs' = [msgs EXCEPT ![s] = @ - 1]
             /\ Untouched /\ UNCHANGED <<over, early, loc, world>>
IsNotLoaded(s) ==    \* the worker's code couldn't be loaded, or the event became too old
  /\ Under(s) /\ Spend("unloaded") /\ msgs' = [msgs EXCEPT ![s] = @ - 1]
  /\ Recorded(s, FALSE)
  /\ Untouched /\ UNCHANGED <<over, early, aged, loc, gone, dead>>

----------------------------------------------------------------------------
(* The steps that each process takes unless a fault stops it. *)
WorkerGoesOn(w) == \/ Receives(w) \/ ClaimsAgain(w) \/ GivesBack(w) \/ Calls(w) \/ Returns(w)
                   \/ HearsCancel(w) \/ WritesAgain(w)
TimerGoesOn     == TimerLooks \/ TimerWrites
FailuresGoesOn  == FailuresLooks \/ FailuresWrites
TimeGoesOn      == LeaseEnds \/ TimeComes
GoesOn          == \/ \E w \in Workers : WorkerGoesOn(w)
                   \/ TimerGoesOn \/ FailuresGoesOn \/ TimeGoesOn
                   \/ \E u \in People : PersonWrites(u)

Next ==
  \/ GoesOn
  \/ \E w \in Workers : GivesUpClaim(w) \/ IsReleased(w) \/ Raises(w) \/ InvocationIsOver(w) \/ Freeze(w)
  \/ \E p \in Procs : Kill(p)
  \/ \E s \in Ids : KillOnArrival(s) \/ Double(s) \/ Lose(s) \/ IsNotLoaded(s)
  \/ \E u \in People : AsksCancel(u) \/ AsksRequeue(u) \/ AsksDelete(u) \/ AsksSave(u)
  \/ Expires

Spec == Init /\ [][Next]_vars
(* Each process takes its steps; but failures, ends of invocations, cancels and faults need not happen. *)
Live == Spec /\ \A w \in Workers : WF_vars(WorkerGoesOn(w))
             /\ WF_vars(TimerGoesOn) /\ WF_vars(FailuresGoesOn) /\ WF_vars(TimeGoesOn)
             /\ \A u \in People : WF_vars(PersonWrites(u))
Symmetric == Permutations(Workers) \cup Permutations(People)

----------------------------------------------------------------------------
(* The promises *)

TypeOK ==
  /\ row.st \in Statuses /\ row.att \in 0..row.most /\ row.invocations \in 0..MaxInvocations
  /\ \A s \in Ids : msgs[s] \in 0..2
  /\ \A p \in Procs : loc[p].pc \in {"idle", "claim", "give_back", "claimed", "called", "write"}

(* A job is due if and only if it hasn't ended, so no job can be stranded. *)
Due == row.due <=> row.st \in Unclaimed \cup {"waiting", "running"}

Moves == row' # row /\ by'.do # "request_cancel"

(* A running row is changed only by the worker that claimed it, or by the timer or the failures   *)
(* function for a claimer that is gone. So the writer of an outcome had the claim.                *)
ClaimerMoves ==
  [][row.st = "running" /\ Moves =>
       \/ by'.p \in Workers /\ by'.do \in Ends /\ loc[by'.p].t = row.tok
       \/ by'.p \in {T, F} /\ by'.do \in {"fail", "stop", "retry"}]_vars
(* The timer rescues a row only from a claimer that is gone: not from one that lives, nor from    *)
(* one that ended well and left the row running.                                                  *)
RescuedFromTheDead == [][by'.p = T /\ by'.do \in Ends /\ row' # row => gone]_vars
(* A failure record settles only a claim of a message with a delivery that was killed.            *)
SettledForTheDead  == [][by'.p = F /\ row' # row => row.snd \in dead]_vars
(* A worker that begins has the claim. It calls the function under that claim, with two           *)
(* exceptions: it was frozen in between, or it was taken for dead. The latter happens if another   *)
(* delivery of its message was killed before it had claimed anything.                             *)
BegunUnderClaim ==
  [][\A w \in Workers : loc[w].pc # "claimed" /\ loc'[w].pc = "claimed"
       => row'.st = "running" /\ row'.tok = loc'[w].t]_vars
CalledUnderClaim ==
  [][\A w \in Workers : loc[w].pc = "claimed" /\ loc'[w].pc = "called"
       => loc[w].frozen \/ loc[w].s \in dead \/ (row.st = "running" /\ row.tok = loc[w].t)]_vars
(* No invocation begins in an attempt in which one began and didn't end in order. Interrupted work is    *)
(* repeated in another attempt, or not at all.                                                    *)
NeverSilentlyAgain ==
  [][\A w \in Workers : loc[w].pc = "claimed" /\ loc'[w].pc = "called" /\ Owned(row, loc[w].t)
       => open < row.att]_vars
(* An outcome is final, unless a person retries the job or its row has expired.                   *)
OutcomeStays ==
  [][row.st \in Over /\ row' # row =>
       by'.p \in People /\ (by'.do = "requeue" => row.st # "succeeded")]_vars
(* A job is deleted only after it has ended, and only if it is the one that the caller meant.     *)
Forgotten == [][row.st # "none" /\ row'.st = "none" =>
                  row.st \in Over /\ loc[by'.p].seen.made = row.made]_vars
SavedOnce == [][by'.do = "save" /\ row' # row => row.st = "none" \/ (row.st \in Over /\ aged)]_vars
NotEarly  == [][by'.do = "claim" /\ row.st \in {"scheduled", "retryable"} => ~early]_vars
(* A job that was asked to stop doesn't continue.                                                 *)
CancelHolds == [][row.st = "running" /\ row.can => row'.st \notin Unclaimed \cup {"waiting"}]_vars
(* A job that has begun never fails with the error for jobs that no worker could start.           *)
NeverStarted == [][by'.do = "expire" /\ row' # row => row.invocations = 0]_vars

(* When no process has anything left to do, the job has ended.                                    *)
NoStall == ENABLED GoesOn \/ row.st \in Over \cup {"none"}
AllEnds == <>[](row.st \in Over \cup {"none"})
=============================================================================
