-- Go back to the stable revision while a rollout is under way, and after it to the one before, while its pods
-- are kept. It holds as long as the spec asks for what is undone.
local rollout = obj.status.rollout
local from, to = rollout.stable, rollout.previous
if rollout.candidate ~= nil then
  from, to = rollout.candidate, rollout.stable
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["apps.scalableapp.dev/undo"] = from.revision .. ":" .. to.revision
return obj
