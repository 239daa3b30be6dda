------------------------------- MODULE Turns -------------------------------
(* A fair line, in which organizations take turns. The module has only what   *)
(* decides the next turn: the entries of each organization, and the slot      *)
(* items. The slot with the highest turn names the organization served last.  *)
(* Several passes decide at once, each on the state that it has read.          *)
EXTENDS Naturals, FiniteSets

CONSTANTS
  Orgs,      \* 1..n, in the order of their names
  Arrivals,  \* the number of jobs that each may hold in line
  Slots,     \* 1..n
  Passes,
  Broken

Without(safeguard) == Broken = safeguard

VARIABLES
  came, \* organization -> the number of its jobs that came into the line; its entries are numbered
  let,    \* organization -> the number of its jobs that were admitted, the first ones first
  slot,   \* slot -> whether it is held, its turn, and the organization that it served last
  loc,    \* pass -> its decision
  passed  \* <<g, o>> -> how often o was served while g waited, since g was served

vars == <<came, let, slot, loc, passed>>

Idle       == [n |-> 0, turn |-> 0, next |-> 0, org |-> 0, job |-> 0]
Waits(o)   == came[o] > let[o]
Lowest(S)  == CHOOSE x \in S : \A y \in S : x <= y
Highest(S) == CHOOSE x \in S : \A y \in S : x >= y
Free       == {n \in Slots : ~slot[n].held}
(* Two passes that decide at once may give two slots the same turn. Then the lower slot counts.      *)
Latest     == Highest({slot[n].turn : n \in Slots})
Last       == slot[Lowest({n \in Slots : slot[n].turn = Latest})].org
(* The organization after the one served last, or the first of all. *)
Whose      == LET waiting == {o \in Orgs : Waits(o)}
                  after   == {o \in waiting : o > Last}
              IN Lowest(IF after = {} \/ Without("takes_turns") THEN waiting ELSE after)

Init ==
  /\ came = [o \in Orgs |-> 0] /\ let = [o \in Orgs |-> 0]
  /\ slot = [n \in Slots |-> [held |-> FALSE, turn |-> 0, org |-> 0]]
  /\ loc = [p \in Passes |-> Idle] /\ passed = [g \in Orgs, o \in Orgs |-> 0]

Holds(o) ==
  /\ came[o] < Arrivals /\ came' = [came EXCEPT ![o] = @ + 1]
  /\ UNCHANGED <<let, slot, loc, passed>>

Looks(p) ==
  /\ loc[p] = Idle /\ Free # {} /\ \E o \in Orgs : Waits(o)
  /\ \E n \in {Lowest(Free)} :
       loc' = [loc EXCEPT ![p] = [n |-> n, turn |-> slot[n].turn, next |-> 1 + Highest({slot[m].turn : m \in Slots}),
                                  org |-> Whose, job |-> let[Whose] + 1]]
  /\ UNCHANGED <<came, let, slot, passed>>

(* The write requires that the entry still exists and the slot is free, with its turn as read. *)
Admits(p) ==
  LET l == loc[p] IN
  /\ l # Idle /\ loc' = [loc EXCEPT ![p] = Idle]
  /\ IF /\ (l.job = let[l.org] + 1) /\ Waits(l.org)
        /\ ~slot[l.n].held /\ (slot[l.n].turn = l.turn)
     THEN /\ let' = [let EXCEPT ![l.org] = @ + 1]
          /\ slot' = [slot EXCEPT ![l.n] = [held |-> TRUE, turn |-> l.next, org |-> l.org]]
          /\ passed' = [g \in Orgs, o \in Orgs |->
                          IF g = l.org \/ ~Waits(g) THEN 0
                          ELSE IF o = l.org THEN passed[g, o] + 1 ELSE passed[g, o]]
     ELSE UNCHANGED <<let, slot, passed>>
  /\ UNCHANGED came

Ends(n) ==
  /\ slot[n].held /\ slot' = [slot EXCEPT ![n].held = FALSE]
  /\ UNCHANGED <<came, let, loc, passed>>

Next == \/ \E o \in Orgs : Holds(o)
        \/ \E p \in Passes : Looks(p) \/ Admits(p)
        \/ \E n \in Slots : Ends(n)
Spec == Init /\ [][Next]_vars

(* While an organization waits, each other one is served at most once before it; or twice, if two  *)
(* passes decided at once.                                                                          *)
OneRound == \A g, o \in Orgs : passed[g, o] <= 2
=============================================================================
