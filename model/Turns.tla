------------------------------- MODULE Turns -------------------------------
(* A fair line: organisations take turns. Only what decides whose turn it is: *)
(* entries by organisation, and the slot items, of which the one with the     *)
(* highest turn says who was served last. Several pumps decide at once, each  *)
(* on what it has read.                                                       *)
EXTENDS Naturals, FiniteSets

CONSTANTS
  Orgs,      \* 1..n, in the order of their names
  Arrivals,  \* jobs that each may park
  Slots,     \* 1..n
  Pumps,
  Broken

Without(safeguard) == Broken = safeguard

VARIABLES
  parked, \* organisation -> how many of its jobs have parked; its entries are numbered
  let,    \* organisation -> how many were let on: the first ones
  slot,   \* slot -> whether it is held, its turn, who was served by it last
  loc,    \* pump -> what it has decided
  passed  \* <<g, o>> -> how often o was served while g waited, since g was

vars == <<parked, let, slot, loc, passed>>

Idle       == [n |-> 0, turn |-> 0, next |-> 0, org |-> 0, job |-> 0]
Waits(o)   == parked[o] > let[o]
Lowest(S)  == CHOOSE x \in S : \A y \in S : x <= y
Highest(S) == CHOOSE x \in S : \A y \in S : x >= y
Free       == {n \in Slots : ~slot[n].held}
(* Two who decide at once may give two slots the same turn: then the lower slot's counts.          *)
Latest     == Highest({slot[n].turn : n \in Slots})
Last       == slot[Lowest({n \in Slots : slot[n].turn = Latest})].org
(* The organisation after the one served last, or the first of all. *)
Whose      == LET waiting == {o \in Orgs : Waits(o)}
                  after   == {o \in waiting : o > Last}
              IN Lowest(IF after = {} \/ Without("takes_turns") THEN waiting ELSE after)

Init ==
  /\ parked = [o \in Orgs |-> 0] /\ let = [o \in Orgs |-> 0]
  /\ slot = [n \in Slots |-> [held |-> FALSE, turn |-> 0, org |-> 0]]
  /\ loc = [p \in Pumps |-> Idle] /\ passed = [g \in Orgs, o \in Orgs |-> 0]

Parks(o) ==
  /\ parked[o] < Arrivals /\ parked' = [parked EXCEPT ![o] = @ + 1]
  /\ UNCHANGED <<let, slot, loc, passed>>

Looks(p) ==
  /\ loc[p] = Idle /\ Free # {} /\ \E o \in Orgs : Waits(o)
  /\ \E n \in {Lowest(Free)} :
       loc' = [loc EXCEPT ![p] = [n |-> n, turn |-> slot[n].turn, next |-> 1 + Highest({slot[m].turn : m \in Slots}),
                                  org |-> Whose, job |-> let[Whose] + 1]]
  /\ UNCHANGED <<parked, let, slot, passed>>

(* Its entry is there still, and the slot is free, with its turn as read. *)
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
  /\ UNCHANGED parked

Ends(n) ==
  /\ slot[n].held /\ slot' = [slot EXCEPT ![n].held = FALSE]
  /\ UNCHANGED <<parked, let, loc, passed>>

Next == \/ \E o \in Orgs : Parks(o)
        \/ \E p \in Pumps : Looks(p) \/ Admits(p)
        \/ \E n \in Slots : Ends(n)
Spec == Init /\ [][Next]_vars

(* Who waits sees each other organisation served once before it is its turn; and another time, if  *)
(* two decided at once.                                                                            *)
OneRound == \A g, o \in Orgs : passed[g, o] <= 2
=============================================================================
