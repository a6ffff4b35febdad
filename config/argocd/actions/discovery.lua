-- Which actions make sense for a ScalableApp as it stands.
local status = obj.status or {}
local rollout = status.rollout or {}
local candidate, stable, previous = rollout.candidate, rollout.stable, rollout.previous
local alive = obj.metadata.deletionTimestamp == nil
local seen = alive and status.observedGeneration ~= nil and status.observedGeneration >= obj.metadata.generation

local frozen = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Stalled" and condition.reason == "RollbackUnsafe" then
    frozen = candidate ~= nil and rollout.failure ~= nil
  end
end
local failed = candidate ~= nil and rollout.failure ~= nil
local going = candidate ~= nil and not failed

-- What was said already, whether it was heard or not, is not offered again, and nothing goes before an abort.
local said = (obj.metadata.annotations or {})["apps.scalableapp.dev/action"]
local about = ""
if candidate ~= nil then
  about = candidate.revision .. ":" .. (rollout.attempt or 0)
end
local function new(verb, step)
  local word = verb .. ":" .. about .. (step or "")
  return word ~= said and word ~= rollout.handledAction
end
local aborting = said ~= nil and said ~= rollout.handledAction and
  (said == "abort:" .. about or said == "abort-force:" .. about)

-- The spec's own revision may have changed the database so that older ones do not work on it. To go back all
-- the same is for `kubectl scalableapp`, with --force.
local migration = obj.spec.app.migration
local undone = rollout.undone ~= nil and rollout.undone ~= ""
local oneWay = migration ~= nil and migration.rollbackSafe == "No" and not undone

local function when(possible)
  return {disabled = not possible}
end

local back = previous
if candidate ~= nil then
  back = stable
end
return {
  ["promote"] = when(seen and going and not aborting and rollout.stepStartedTime ~= nil and
    new("promote", ":" .. (rollout.step or 0))),
  ["promote-full"] = when(seen and (going or frozen) and not aborting and new("promote-full")),
  ["abort"] = when(alive and going and stable ~= nil and not oneWay and new("abort")),
  ["retry"] = when(seen and failed and new("retry")),
  ["undo"] = when(seen and stable ~= nil and back ~= nil and not undone and not oneWay),
}
