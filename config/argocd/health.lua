-- The health of a ScalableApp: https://argo-cd.readthedocs.io/en/stable/operator-manual/health/
local hs = {status = "Progressing", message = "the operator has not looked at it yet"}
local status = obj.status
if obj.metadata.deletionTimestamp ~= nil then
  hs.message = "it is being deleted"
  return hs
end
if status == nil or status.conditions == nil then
  return hs
end
local rollout = status.rollout or {}
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local ready, stalled = conditions.Ready, conditions.Stalled

-- What it says while it waits for a person.
local function say(reason, message)
  if message == nil or message == "" then
    return reason
  end
  return reason .. ": " .. message
end

-- A status of an older spec says nothing of this one. An annotation is not part of the generation: what a
-- person has said of the rollout is on its way as long as it is about this attempt and was not heard.
if status.observedGeneration == nil or status.observedGeneration < obj.metadata.generation then
  hs.message = "the operator has not seen the newest change yet"
  return hs
end
local said = (obj.metadata.annotations or {})["apps.scalableapp.dev/action"]
if said ~= nil and said ~= rollout.handledAction and rollout.candidate ~= nil and obj.spec.paused ~= true then
  local about = rollout.candidate.revision .. ":" .. (rollout.attempt or 0)
  for _, word in ipairs({
    "promote:" .. about .. ":" .. (rollout.step or 0), "promote-full:" .. about,
    "abort:" .. about, "abort-force:" .. about, "retry:" .. about,
  }) do
    if said == word then
      hs.message = "the operator has not acted on " .. word .. " yet"
      return hs
    end
  end
end

if rollout.stage == "Inconclusive" and obj.spec.paused ~= true and
  (stalled == nil or stalled.reason == "GateInconclusive") then
  hs.status, hs.message = "Suspended", say(rollout.stage, rollout.message) -- it is stalled, but nothing has failed
elseif stalled ~= nil and stalled.status == "True" then
  hs.status, hs.message = "Degraded", say(stalled.reason, stalled.message)
elseif rollout.stage == "Failed" then
  local failure = rollout.failure or {}
  hs.status, hs.message = "Degraded", say(failure.reason or "Failed", rollout.message or failure.message)
elseif obj.spec.paused == true then
  hs.status, hs.message = "Suspended", say("Paused", rollout.message or "spec.paused is true")
elseif rollout.stage == "AwaitingApproval" then
  hs.status, hs.message = "Suspended", say(rollout.stage, rollout.message)
elseif rollout.stage == "Aborting" then
  hs.message = say("Aborting", rollout.message)
elseif ready ~= nil and ready.status == "True" then
  hs.status, hs.message = "Healthy", ready.message
elseif ready ~= nil then
  hs.message = say(ready.reason, ready.message)
end
return hs
